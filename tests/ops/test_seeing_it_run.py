"""A whole lrserve with JSON logs and traces on, looked at as operators do: its logs, its spans, its metrics."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import Service, running_service, until
from tests.factories import job_spec, long_job

pytestmark = pytest.mark.slow

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


@dataclass(frozen=True)
class Seen:
    """A span as the receiver got it."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    seconds: float
    attributes: dict[str, Any]


class Telemetry:
    """A running lrserve, and what it tells."""

    def __init__(self, service: Service, folder: Path) -> None:
        self.service, self.http, self.client, self._folder = service, service.http, service.client, folder

    def spans(self, trace: str) -> list[Seen]:
        found = []
        for file in self._folder.glob("*.pb"):
            for resource in ExportTraceServiceRequest.FromString(file.read_bytes()).resource_spans:
                named = {a.key: a.value.string_value for a in resource.resource.attributes}
                for span in (span for scope in resource.scope_spans for span in scope.spans):
                    attributes = {a.key: getattr(a.value, str(a.value.WhichOneof("value"))) for a in span.attributes}
                    seconds = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9
                    ids = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
                    found.append(Seen(named["service.name"], span.name, *ids, seconds, attributes))
        return [span for span in found if span.trace == trace]

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.service.log.read_text().splitlines()]

    def metric(self, name: str, **labels: str) -> float:
        return sample(self.http.get("/metrics").raise_for_status().text, name, **labels)


def sample(text: str, name: str, **labels: str) -> float:
    found = [
        s.value for f in text_string_to_metric_families(text) for s in f.samples if (s.name, s.labels) == (name, labels)
    ]
    assert len(found) == 1, (name, labels, found)
    return float(found[0])


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Telemetry]:
    folder = tmp_path_factory.mktemp("spans")
    collector = subprocess.Popen(
        [sys.executable, "-m", "tests.ops.collector", folder], stdout=subprocess.PIPE, text=True
    )
    assert collector.stdout
    port = int(collector.stdout.readline())
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "HTTP_PROXY": "",
    }
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        home = tmp_path_factory.mktemp("observed") / "home"
        settings: dict[str, Any] = {"log_format": "json", "lease_seconds": 4, "reap_seconds": 0.2}
        with running_service(home, **settings) as service:
            yield Telemetry(service, folder)
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
        collector.terminate()
        collector.wait(60)
        collector.stdout.close()


def test_one_trace_leads_from_the_client_s_own_span_through_the_queue_to_the_training(observed: Telemetry) -> None:
    given = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    job = observed.http.post("/v1/jobs", json=job_spec(), headers=given).raise_for_status().json()
    observed.service.ended(job["id"])
    until(lambda: any(span.name == "attempt training" for span in observed.spans(TRACE)))

    spans = {span.name: span for span in observed.spans(TRACE)}
    request, queue, attempt = spans["POST /v1/jobs"], spans["queue"], spans["attempt training"]
    assert (request.service, request.parent) == ("lrserve-api", PARENT)
    assert request.attributes["http.response.status_code"] == 202
    assert {span.service for span in spans.values()} == {"lrserve-api", "lrserve-worker"}
    assert queue.parent == attempt.parent == request.id
    assert attempt.attributes["lrserve.job"] == job["id"]
    assert attempt.attributes["lrserve.state"] == "succeeded"
    assert {spans[name].parent for name in ("data load", "epoch", "artifacts")} == {attempt.id}
    epochs = [span.attributes["lrserve.epoch"] for span in observed.spans(TRACE) if span.name == "epoch"]
    assert sorted(epochs) == [0, 1, 2]
    assert "trace" not in json.dumps(observed.http.get(f"/v1/jobs/{job['id']}").json()["spec"])


def test_the_shards_of_an_experiment_belong_to_its_trace(observed: Telemetry) -> None:
    trace = TRACE[::-1]
    asked = {"base": job_spec(), "grid": {"seed": [0, 1]}}
    given = {"traceparent": f"00-{trace}-{PARENT}-01"}
    made = observed.http.post("/v1/experiments", json=asked, headers=given).raise_for_status().json()
    observed.service.ended(made["id"])
    until(lambda: any(span.name == "attempt runs" for span in observed.spans(trace)))

    spans = observed.spans(trace)
    (part,) = [span for span in spans if span.name == "attempt runs"]
    assert part.attributes["lrserve.job"] == f"{made['id']}/1"
    assert {span.parent for span in spans if span.name == "run"} == {part.id}
    assert sorted(span.attributes["lrserve.run"] for span in spans if span.name == "run") == [0, 1]


def test_every_line_is_json_and_names_its_request_or_its_job(observed: Telemetry) -> None:
    answer = observed.http.post("/v1/jobs", json=job_spec(), headers={"X-Request-ID": "build-17/a"})
    job = answer.json()["id"]
    observed.service.ended(job)

    def mine() -> list[tuple[str, str]]:
        return [(line["logger"], line["message"]) for line in observed.lines() if line.get("job") == job]

    until(lambda: mine()[-1:] == [("lrserve.worker", "succeeded")])
    assert mine()[:2] == [("lrserve.api", "submitted"), ("lrserve.worker", "started")]
    (submitted,) = [line for line in observed.lines() if line.get("request") == "build-17/a"]
    assert submitted["job"] == job
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in observed.lines())
    assert {line["logger"] for line in observed.lines()} >= {"uvicorn.error", "lrserve.api", "lrserve.worker"}
    attempts = [line["attempt"] for line in observed.lines() if line.get("job") == job and "attempt" in line]
    assert attempts[0] == 1
    assert attempts == sorted(attempts)


@pytest.mark.slowest
def test_a_job_that_lost_its_worker_is_counted_and_its_training_seen(observed: Telemetry) -> None:
    ended = observed.metric("lrserve_jobs_ended_total", state="cancelled")
    job = observed.client.submit(long_job(epochs=200)).id
    until(lambda: observed.client.job(job).progress.step > 0)

    def speed_is_of_this_job() -> bool:
        text = observed.http.get("/metrics").text
        steps = sample(text, "lrserve_training_steps_per_second", hardware="cpu")
        images = sample(text, "lrserve_training_images_per_second", hardware="cpu")
        return steps > 0 and images == pytest.approx(32 * steps, rel=0.05)

    until(speed_is_of_this_job)  # told every five seconds; the first of them has a share of the job before
    assert observed.metric("lrserve_workers_busy", hardware="cpu") == 1
    assert observed.metric("lrserve_jobs", state="running") == 1

    observed.service.kill("worker 0")
    until(lambda: observed.metric("lrserve_job_losses_total", reason="lease") == 1)
    assert observed.metric("lrserve_queue_jobs", hardware="default") == 1
    first = observed.metric("lrserve_queue_oldest_seconds", hardware="default")
    time.sleep(0.3)
    assert 0 < first < observed.metric("lrserve_queue_oldest_seconds", hardware="default") < 60
    until(lambda: any(line.get("job") == job and "lease" in line["message"] for line in observed.lines()))

    observed.client.cancel(job)
    assert observed.metric("lrserve_jobs_ended_total", state="cancelled") == ended + 1
    observed.service.kill("api")  # the figures are the store's, not the process's
    observed.service.revive("api")
    until(lambda: answers(observed))
    assert observed.metric("lrserve_job_losses_total", reason="lease") == 1
    assert observed.metric("lrserve_jobs_ended_total", state="cancelled") == ended + 1


def answers(observed: Telemetry) -> bool:
    try:
        return observed.http.get("/healthz").is_success
    except httpx.TransportError:
        return False


def test_the_metrics_are_those_of_the_process_while_redis_is_away(observed: Telemetry) -> None:
    assert observed.metric("lrserve_redis_up") == 1
    observed.service.kill("redis")

    text = observed.http.get("/metrics").raise_for_status().text

    assert sample(text, "lrserve_redis_up") == 0
    assert sample(text, "lrserve_http_requests_total", route="/metrics", method="GET", status="200") > 0
    assert "lrserve_jobs" not in text
    assert list(openmetrics(observed.http.get("/metrics", headers={"Accept": "application/openmetrics-text"}).text))
