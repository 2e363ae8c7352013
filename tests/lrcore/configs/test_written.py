"""What is written for a framework is read again as the same schedule."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from lrcore.configs import Reading, read
from lrcore.dialects import Framework, translate
from lrcore.errors import CurveError
from lrcore.schedules import SCHEDULES, Schedule
from lrserve.config_files.python_literals import assigned
from tests.lrcore.strategies import parse, rates
from tests.lrcore.test_trainers import RECORDED, Recorded

READ = [each for each in RECORDED if "def " not in each["code"]]  # the others are functions
CONFIGURED: dict[Framework, int] = {"deepspeed": 2, "mmengine": 12, "composer": 10}  # and how many schedules, at least
STEPS = np.arange(20)


def read_back(code: str, base_lr: float, steps: int) -> Reading:
    config: Any = json.loads(code) if code.startswith("{") else assigned(code)
    return read(None, config, base_lr=base_lr, total_steps=steps)


def test_most_of_what_is_recorded_can_be_read() -> None:
    assert len(READ) > 0.8 * len(RECORDED)


@pytest.mark.parametrize("recorded", READ, ids=lambda each: f"{each['framework']}-{each['spec'][:60]}")
def test_the_schedule_in_a_code_is_what_its_framework_draws_with_it(recorded: Recorded) -> None:
    steps = np.array(recorded["steps"])

    found = read_back(recorded["code"], recorded["base_lr"], steps[-1] + 1)

    assert found.framework == recorded["framework"]
    drawn = np.array(recorded["rates"])
    ours = rates(parse(found.schedule), np.arange(steps[-1] + 1), found.base_lr)[steps]
    np.testing.assert_allclose(ours, drawn, rtol=0, atol=1e-9 * drawn.max())


@pytest.mark.parametrize(("framework", "least"), CONFIGURED.items())
def test_schedules_that_are_written_exactly_are_read_as_themselves(framework: Framework, least: int) -> None:
    schedules = {name: parse(member.example) for name, member in SCHEDULES.items()}
    exact = {name: code for name, each in schedules.items() if (code := exactly(each, framework)) is not None}

    assert len(exact) >= least
    for name, code in exact.items():
        found = read_back(code, 0.1, len(STEPS))
        ours = rates(parse(found.schedule), STEPS, found.base_lr)
        np.testing.assert_allclose(ours, rates(schedules[name], STEPS, 0.1), rtol=1e-9, atol=1e-12, err_msg=name)


def exactly(schedule: Schedule, framework: Framework) -> str | None:
    """The configuration with the very curve of a schedule; None if there is none."""
    try:
        written = translate(schedule, 0.1, framework)
    except CurveError:
        return None
    return None if "def " in written.code or not written.exact or schedule.metric_driven else written.code


def test_a_plateau_is_read_as_itself() -> None:
    schedule = parse(SCHEDULES["ReduceLROnPlateau"].example)

    found = read_back(translate(schedule, 0.1, "mmengine").code, 0.1, 10)

    assert parse(found.schedule).model_dump() == schedule.model_dump()
