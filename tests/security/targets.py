"""What reads text from outside, and what may come of it: a spec or a refusal, soon and in little memory."""

from __future__ import annotations

import re
import resource
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from pydantic import ValidationError

import lrcore.jobs.experiment
import lrcore.numerics.cost
from lrcore.curve import CurveRequest, sample
from lrcore.errors import LrcoreError
from lrcore.expressions.expression import CycleExpression, Expression
from lrcore.family import Spec
from lrcore.jobs.experiment import ExperimentSpec
from lrcore.jobs.range_test import RangeTestSpec
from lrcore.jobs.training_spec import TrainingSpec

MOST_SECONDS = 0.05  # of processor time
MOST_MEMORY = 200 * 2**20
MOST_SPACE = 2 * 2**30  # of addresses, for all inputs together: what goes on taking ends with a MemoryError
MEASURED = 3  # times before an input is called slow
SMALL = 10**7  # nanoseconds, a part of MOST_SECONDS; by its own bounds the service goes on for five seconds
FEW_RUNS = 100
STEPS = np.arange(-2, 100)

BOUNDS: dict[
    tuple[ModuleType, str], int
] = {  # lower ones on what is asked for openly, so that what takes long is a fault
    (lrcore.numerics.cost, "MOST"): SMALL,
    (lrcore.jobs.experiment, "MAX_RUNS"): FEW_RUNS,
}
SPECS: tuple[type[Spec], ...] = (CurveRequest, TrainingSpec, ExperimentSpec, RangeTestSpec)
FIELDS: tuple[dict[str, Any], ...] = (
    {"type": "LambdaLR", "lr_lambda": ""},
    {"type": "MultiplicativeLR", "lr_lambda": ""},
    {"type": "CyclicLR", "base_lr": 0.1, "max_lr": 1.0, "scale_fn": ""},
)


class Broken(AssertionError):
    """What must not come of any input."""


def expression(data: bytes) -> bool:
    """A byte that says where, and an expression: read, computed, and as a formula. Whether it was accepted."""
    place, text = data[0] % len(FIELDS), data[1:].decode(errors="surrogateescape")
    fields = {name: text if value == "" else value for name, value in FIELDS[place].items()}
    kind = CycleExpression if "scale_fn" in fields else Expression
    asked = {"steps": 100, "base_lr": 0.1, "schedule": fields}
    try:
        curve = CurveRequest.model_validate(asked)
    except ValidationError as error:
        error.errors()
        return False
    read = kind(text)
    read(STEPS)
    read.as_formula()
    _sampled(curve)
    return True


def spec(data: bytes) -> bool:
    """A byte that says which, and its JSON; what can be sampled is. Whether it was accepted."""
    kind = SPECS[data[0] % len(SPECS)]
    try:
        found = kind.model_validate_json(data[1:])
    except ValidationError as error:
        error.errors()
        return False
    kind.model_validate_json(found.model_dump_json())
    if isinstance(found, CurveRequest):
        _sampled(found)
    if isinstance(found, ExperimentSpec):
        try:
            found.check()
        except LrcoreError:
            return False
    return True


def _sampled(curve: CurveRequest) -> None:
    try:
        found = sample(curve)
    except LrcoreError:
        return
    if not (np.isfinite(found.lr).all() and (found.lr >= 0).all()):
        raise Broken("a rate that is not finite, or negative")


TARGETS: dict[str, Callable[[bytes], bool]] = {"expression": expression, "spec": spec}


def bound() -> None:
    """Set the bounds, and one on its memory, for the rest of the process."""
    for (module, name), value in BOUNDS.items():
        setattr(module, name, value)
    most = _status("VmSize") + MOST_SPACE
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def judged(target: Callable[[bytes], bool], data: bytes) -> bool:
    """Whether the target, which is warm, accepts the input.

    Raises:
        Broken: it takes too long, or too much memory.
    """
    before = _new_peak()
    accepted, seconds = _timed(target, data)
    if (taken := _status("VmHWM") - before) > MOST_MEMORY:
        raise Broken(f"{taken / 2**20:.0f} MB with {data[:200]!r}")
    if seconds > MOST_SECONDS:
        seconds = min(_timed(target, data)[1] for _ in range(MEASURED))
        if seconds > MOST_SECONDS:
            raise Broken(f"{seconds * 1000:.0f} ms for {data[:200]!r}")
    return accepted


def _timed(target: Callable[[bytes], bool], data: bytes) -> tuple[bool, float]:
    began = time.process_time()
    accepted = target(data) if data else False
    return accepted, time.process_time() - began


def _new_peak() -> int:
    """Let the most memory that the process has had be what it has now; that, in bytes.

    Not getrusage's: that of a process begins with the peak of the one that started it, which may be far higher.
    """
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmHWM")


def _status(name: str) -> int:
    """Bytes, of what Linux says about this process."""
    found = re.search(rf"^{name}:\s*(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024
