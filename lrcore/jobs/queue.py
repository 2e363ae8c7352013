"""The names that API and worker share on the broker.

A message is a doorbell: it says that a job waits in a queue, not which. The store knows the order.
"""

from __future__ import annotations

from typing import Any

from lrcore.jobs.connection import broker_url

QUEUE = "default"
NOTIFY_TASK = "lrserve.ring"
BROKER_PREFIX = "lrserve:broker:"
QUEUE_PREFIX = "queue."


def broker_queue(queue: str) -> str:
    """A queue's name on the broker, where kombu has keys of its own, such as unacked."""
    return QUEUE_PREFIX + queue


def broker_list(queue: str) -> str:
    """The Redis list in which the broker keeps a queue's messages."""
    return BROKER_PREFIX + broker_queue(queue)


def celery_config(redis_url: str) -> dict[str, Any]:
    """Celery's settings, for the side that rings and for the side that answers."""
    return {
        "broker_url": broker_url(redis_url),
        "broker_transport_options": {
            "global_keyprefix": BROKER_PREFIX,
            "socket_timeout": 5,  # a frozen Redis must not hold a publisher for ever
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
        },
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
