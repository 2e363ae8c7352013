"""How a model of the store is run against a real Redis."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from lrcore.store.connection import connect
from tests.conftest import redis_process
from tests.examples import examples
from tests.stores import JobStore


class StoreModel(RuleBasedStateMachine):
    """A state machine that makes the same calls on a store and on its model of it."""

    store: ClassVar[JobStore]


def run_machine(machine: type[StoreModel], count: int) -> None:
    """Run `count` examples of a machine, or the share of them that this run draws, against a Redis of its own."""
    with TemporaryDirectory() as folder, redis_process(Path(folder)) as url:
        machine.store = JobStore(connect(url))
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=examples(count),
                stateful_step_count=40,
                deadline=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
