"""What Prometheus reads at /metrics: what this process has done, and what the store says of the whole service."""

from __future__ import annotations

import logging
import platform
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.utils import floatToGoString

from lrcore import __version__
from lrcore.store.connection import RedisError
from lrcore.store.operator import OperatorStore
from lrcore.store.service_stats import ServiceStats, WorkerStats
from lrcore.webhooks.endpoints import WebhookStore

log = logging.getLogger("lrserve.metrics")

REGISTRY = CollectorRegistry()
QUICK = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.2, 1, 5)
PLAIN = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)

disable_created_metrics()  # type: ignore[no-untyped-call]  # when a series began says nothing that its counter does not
ProcessCollector(registry=REGISTRY)


class Requests:
    """Requests by route, method and status, with their seconds.

    prometheus_client's own counters take a lock each, which the shortest requests would feel: all of these are written
    by the one thread of the event loop.
    """

    def __init__(self) -> None:
        self.open = 0
        self._seconds: dict[tuple[str, str, int], tuple[list[int], list[float]]] = {}

    def note(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request whose answer has begun."""
        known = self._seconds.get((route, method, status))
        if known is None:
            known = self._seconds[route, method, status] = [0] * (len(PLAIN) + 1), [0.0]
        known[0][bisect_left(PLAIN, seconds)] += 1
        known[1][0] += seconds

    def collect(self) -> Iterator[Metric]:
        """What was counted so far."""
        answered = CounterMetricFamily(
            "lrserve_http_requests", "Requests that were answered.", labels=("route", "method", "status")
        )
        seconds = HistogramMetricFamily(
            "lrserve_http_request_seconds",
            "From a request's head to the head of its answer; of a stream, not to its end.",
            labels=("route", "method"),
        )
        together: dict[tuple[str, str], tuple[list[int], float]] = {}
        for (route, method, status), (counts, [total]) in sorted(self._seconds.copy().items()):
            answered.add_metric((route, method, str(status)), sum(counts))
            before, sum_before = together.get((route, method), ([0] * len(counts), 0.0))
            together[route, method] = [a + b for a, b in zip(before, counts, strict=True)], sum_before + total
        for key, (counts, total) in together.items():
            bounds = [*map(floatToGoString, PLAIN), "+Inf"]
            seconds.add_metric(key, list(zip(bounds, accumulate(counts), strict=True)), total)
        yield from (answered, seconds)
        yield GaugeMetricFamily(
            "lrserve_http_requests_open", "Requests that are being answered, streams included.", self.open
        )


REQUESTS = Requests()
REGISTRY.register(REQUESTS)
CURVE_SECONDS = Histogram(
    "lrserve_curve_seconds",
    "Computing a curve, or several, and writing it in a format; without what is streamed.",
    ("format",),
    buckets=QUICK,
    registry=REGISTRY,
)
KEPT = Counter(
    "lrserve_curves_kept", "Curves answered from memory, since they were asked for before.", registry=REGISTRY
)
BUILD = Gauge("lrserve_build_info", "1, with the version of the API process.", ("version", "python"), registry=REGISTRY)
BUILD.labels(__version__, platform.python_version()).set(1)

MOST_LABELS = 32  # of hardware: jobs may ask for any, so that a client could make any number of series
OTHER = "other"
LOST = ("lease", "restart", "stalled")
DELIVERED = ("delivered", "retry", "failed", "gone", "dropped")


class Exposed:
    """A registry for one scrape: what the process counts, and one look at the store."""

    def __init__(self, store: OperatorStore, webhooks: WebhookStore) -> None:
        self._store, self._webhooks = store, webhooks

    def collect(self) -> Iterator[Metric]:
        """Every metric. Where Redis does not answer, those of the process and lrserve_redis_up 0."""
        yield from REGISTRY.collect()
        up, families = 1, list[Metric]()
        try:
            families = [*of_store(self._store.service_stats()), *of_webhooks(*self._webhooks.waiting())]
        except RedisError as error:
            log.warning("Redis does not answer: %s", error)
            up = 0
        yield GaugeMetricFamily("lrserve_redis_up", "Whether Redis answers this process.", up)
        yield from families


def of_store(stats: ServiceStats) -> list[Metric]:
    """Return the service's statistics as Prometheus metrics."""
    counted, ended = stats.counters, [state for state in stats.jobs if state.ended]
    return [
        CounterMetricFamily(
            "lrserve_jobs_submitted", "Jobs that were accepted, of all kinds.", counted.get("submitted", 0)
        ),
        _counters("lrserve_jobs_ended", "Jobs that have ended, by how.", "state", "ended:", counted, ended),
        CounterMetricFamily(
            "lrserve_job_retries",
            "Attempts that ended in an error and were followed by another.",
            counted.get("retried", 0),
        ),
        _counters(
            "lrserve_job_losses",
            "Jobs taken from a worker: its lease ran out, it came back under its name, or it said that it stood still.",
            *("reason", "lost:", counted, LOST),
        ),
        _counters(
            "lrserve_webhook_attempts",
            "Deliveries of webhooks by what an attempt came to; dropped: none was made.",
            *("outcome", "webhooks:", counted, DELIVERED),
        ),
        _gauges("lrserve_jobs", "Jobs in the store, of all kinds.", "state", stats.jobs.items()),
        _gauges("lrserve_experiments", "Experiments in the store.", "state", stats.experiments.items()),
        *_by_hardware(stats),
    ]


def of_webhooks(waiting: int, late: float) -> Iterator[Metric]:
    """What is still to be delivered."""
    yield GaugeMetricFamily("lrserve_webhook_deliveries_waiting", "Deliveries that have not ended.", waiting)
    yield GaugeMetricFamily(
        "lrserve_webhook_delivery_late_seconds", "How long the first delivery that is due has been due.", late
    )


@dataclass
class Hardware:
    """What there is of one hardware label."""

    waiting: int = 0
    oldest: float = 0.0
    workers: int = 0
    busy: int = 0
    steps: float = 0.0
    images: float = 0.0
    memory_used: int = 0
    memory_total: int = 0

    def add(self, worker_stats: WorkerStats) -> None:
        """Count a worker in."""
        self.busy += worker_stats.busy
        self.steps += worker_stats.steps_per_second
        self.images += worker_stats.images_per_second
        self.memory_used += worker_stats.memory_used or 0
        self.memory_total += worker_stats.memory_total or 0


GAUGES = {
    "waiting": ("lrserve_queue_jobs", "Jobs that wait, by the hardware that they ask for; default: any."),
    "oldest": ("lrserve_queue_oldest_seconds", "How long the oldest of them has waited."),
    "workers": ("lrserve_workers", "Workers that live, each under all of its labels; default: all of them."),
    "busy": ("lrserve_workers_busy", "Workers that have a job, likewise."),
    "steps": ("lrserve_training_steps_per_second", "Optimizer steps of running jobs, of all their runs, likewise."),
    "images": ("lrserve_training_images_per_second", "Images that running jobs train on, likewise."),
    "memory_used": ("lrserve_gpu_memory_used_bytes", "Memory in use on the workers' GPUs, likewise."),
    "memory_total": ("lrserve_gpu_memory_bytes", "Memory of the workers' GPUs, likewise."),
}


def _by_hardware(stats: ServiceStats) -> Iterator[Metric]:
    # those that workers have come first: what is beyond the bound are labels that only jobs name
    ranked = sorted(stats.queues, key=lambda name: (-stats.queues[name][1], -stats.queues[name][0], name))
    shown = set(ranked[:MOST_LABELS])
    found = {name: Hardware() for name in sorted(shown)}
    for name, (waiting, workers) in stats.queues.items():
        each = found.setdefault(name if name in shown else OTHER, Hardware())
        each.waiting, each.workers = each.waiting + waiting, each.workers + workers
        each.oldest = max(each.oldest, stats.oldest.get(name, 0.0))
    for worker_stats in stats.workers.values():
        for name in ("default", *worker_stats.hardware):
            if name in found:
                found[name].add(worker_stats)
    for field, (metric, help_text) in GAUGES.items():
        values = ((name, getattr(each, field)) for name, each in found.items())
        yield _gauges(metric, help_text, "hardware", values)


def _gauges(name: str, help_text: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=(label,))
    for value_of, value in values:
        family.add_metric((value_of,), value)
    return family


def _counters(name: str, help_text: str, label: str, prefix: str, counted: dict[str, int], of: Iterable[str]) -> Metric:
    family = CounterMetricFamily(name, help_text, labels=(label,))
    for each in of:
        family.add_metric((each,), counted.get(prefix + each, 0))
    return family
