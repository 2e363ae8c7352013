"""Whether code that `translate` calls exact draws lrserve's curve when it is run as people run it.

optax and Keras are compiled by jax.jit, the others step through eager torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import numpy as np

from lrcore.dialects import Framework, translate
from lrcore.errors import CurveError
from lrcore.schedules import Rates, Schedule
from tests.campaign.drawing import FAR, edges, long_spec, main
from tests.lrcore.strategies import CALLS, Json, parse, rates
from tests.lrcore.test_translate import RUN, TOLERANCE, expected_refusal, initial, names, stepped

STEPPED = 1500  # of schedulers that go one step at a time
PADDED = 512  # steps of one compiled call: always the same shape


def faults(count: int, seed: int, size: int = 4) -> list[str]:
    """Draw frameworks, and from `size` specs of each family, and return what was called exact and is not."""
    random = Random(seed)
    found = []
    for cls in drawn_classes(random, count):
        case = random.choice(RUN), long_spec(random, cls, size, wide=True)
        if (fault := check(case)) is not None:
            found.append(fault)
    return found


def drawn_classes(random: Random, count: int) -> Iterator[type[Schedule]]:
    """Yield `count` classes, every one as often."""
    classes = list(CALLS.values())
    for i in range(count):
        if i % len(classes) == 0:
            random.shuffle(classes)
        yield classes[i % len(classes)]


def check(case: tuple[Framework, Json]) -> str | None:
    """Return what is wrong with one case."""
    framework, spec = case
    schedule = parse(spec)
    base_lr = initial(schedule)
    try:
        translation = translate(schedule, base_lr, framework)
    except CurveError as error:
        if not expected_refusal(error):
            return f"{framework} {spec}: {error}"
        return None
    if not translation.exact:
        return None
    last = FAR if framework in ("optax", "keras") else STEPPED
    last = last if schedule.length is None else min(last, schedule.length - 1)
    t = np.array(edges(spec, last))
    expected = rates(schedule, t, base_lr)
    known = np.isfinite(expected) & (expected >= 0)
    t, expected = t[known], expected[known]
    try:
        found = computed(translation.code, framework, t, base_lr)
    except Exception as error:  # whatever a framework raises is what is looked for
        return f"{framework} {spec}: {type(error).__name__}: {str(error)[:200]}\n{translation.code}"
    off = ~(np.abs(found - expected) <= TOLERANCE[framework] * max(expected.max(), 1e-30))
    if not off.any():
        return None
    i = int(off.argmax())
    return f"{framework} {spec}: {found[i]!r} at step {t[i]}, not {expected[i]!r}\n{translation.code}"


def computed(code: str, framework: str, t: Any, base_lr: float) -> Rates:
    """Return the rates of generated code at the steps `t`."""
    if framework not in ("optax", "keras"):
        return np.array(stepped(code, framework, int(t[-1]) + 1, base_lr))[t]
    import jax

    schedule = names(code, framework)["schedule"]
    padded = np.zeros(PADDED, np.int32)
    padded[: len(t)] = t
    found = jax.jit(jax.vmap(schedule))(padded)
    return np.broadcast_to(np.asarray(found, dtype=np.float64), PADDED)[: len(t)]


if __name__ == "__main__":
    main(faults, len(CALLS), __doc__ or "")
