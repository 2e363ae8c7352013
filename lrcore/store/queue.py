"""The names that API and worker share on the broker.

A message only says that a job waits in a queue, not which one. The store knows the order.

A queue is named by the hardware that its jobs need, and by the plug-ins if they need any: `gpu,acme==1.2,other==3.0`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lrcore.store.connection import broker_settings

QUEUE = "default"
NOTIFY_TASK = "lrserve.ring"  # as processes of earlier versions call it
BROKER_PREFIX = "lrserve:broker:"
QUEUE_PREFIX = "queue."


def queue_for(hardware: str | None, plugins: Mapping[str, str]) -> str:
    """The queue of jobs that need this hardware, if any, and these plug-ins, versions by name."""
    return ",".join([hardware or QUEUE, *(f"{name}=={plugins[name]}" for name in sorted(plugins))])


def hardware_of(queue: str) -> str | None:
    """The hardware that the jobs of a queue need; None if any will do."""
    label = queue.partition(",")[0]
    return None if label == QUEUE else label


def queues_of(labels: Sequence[str], plugins: Iterable[str]) -> list[str]:
    """The queues in which a worker listens for messages: for jobs without plug-ins, and for those with each of its own.

    Args:
        plugins: each as name==version.
    """
    labels = [*labels, QUEUE]
    return labels + [f"{label},{plugin}" for plugin in sorted(plugins) for label in labels]


def broker_queue(queue: str) -> str:
    """A queue's name on the broker, where kombu has keys of its own, such as unacked.

    Of several plug-ins it has the first alone: a worker listens for each of its own, not for every set of them. The
    store compares the whole set.
    """
    return QUEUE_PREFIX + ",".join(queue.split(",")[:2])


def broker_list(queue: str) -> str:
    """The Redis list in which the broker keeps a queue's messages."""
    return BROKER_PREFIX + broker_queue(queue)


def celery_config(redis_url: str) -> dict[str, Any]:
    """Return Celery's settings, for the API and the workers alike."""
    broker = broker_settings(redis_url)
    broker["broker_transport_options"]["global_keyprefix"] = BROKER_PREFIX
    return broker | {
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,  # a worker outlives any outage of Redis
        "task_default_queue": broker_queue(QUEUE),
        "task_serializer": "json",
        "accept_content": ["json"],  # whoever can write to Redis must not be able to run code
        "task_ignore_result": True,  # results live in the job store
        "task_acks_late": False,  # recovery is the lease's work alone
        "worker_prefetch_multiplier": 1,
        "worker_enable_remote_control": False,  # a solo worker could not answer while it trains
        "worker_send_task_events": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,  # training outlives a lost connection
        "worker_hijack_root_logger": False,
    }
