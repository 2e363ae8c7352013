"""Whether lrserve's curve is that of the framework the schedule is named after, far along and at special lengths, too.

It takes every family of an installed framework: torch, optax, Keras, timm and transformers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np

from lrcore.schedules import SCHEDULES, Rates
from tests.campaign.drawing import FAR, edges, long_spec, main
from tests.lrcore import test_torch_parity as torch_parity
from tests.lrcore.strategies import Json, parse, rates, without_last_epoch
from tests.lrcore.test_frameworks import BASE_LR, arguments, known_to_work, of, optax_schedule, sgd, timm_schedulers

STEPPED = 1500  # of torch's, which go one step at a time, and of Keras', which compute in float32

Steps = Any


def torch_rates(spec: Json, t: Steps) -> Rates:
    return torch_parity.stepped(parse(spec).torch_reference(), [BASE_LR], int(t[-1]) + 1)[0][0][t]


def torch_means(framework: str, spec: Json) -> bool:
    """Whether torch, if it is asked, computes what its class says."""
    reference = parse(spec).torch_reference()
    return framework != "torch" or (reference is not None and torch_parity.torch_means_the_same(reference))


def optax_rates(spec: Json, t: Steps) -> Rates:
    import jax

    with jax.enable_x64(True):  # step by step: compiled, XLA may be a step late where a quotient is floored
        schedule = optax_schedule(spec["type"], arguments(spec))
        return np.array([float(schedule(int(step))) for step in t])


def keras_rates(spec: Json, t: Steps) -> Rates:
    import keras

    schedule = getattr(keras.optimizers.schedules, spec["type"])(**arguments(spec))
    return np.array([float(schedule(int(step))) for step in t])  # step by step, as optax's


def timm_rates(spec: Json, t: Steps) -> Rates:
    scheduler = getattr(timm_schedulers(), spec["type"])(sgd(), **arguments(spec))
    return np.array([scheduler._get_lr(int(step))[0] for step in t])


def transformers_rates(spec: Json, t: Steps) -> Rates:
    from transformers import get_scheduler

    counts = ("num_warmup_steps", "num_training_steps")
    own = {key: value for key, value in arguments(spec).items() if key not in counts and value is not None}
    scheduler = get_scheduler(spec["type"], sgd(), *map(spec.get, counts), own or None)
    return np.array([BASE_LR * scheduler.lr_lambdas[0](int(step)) for step in t])


FRAMEWORKS: dict[str, tuple[Callable[[Json, Steps], Rates], list[str], int, float]] = {
    "torch": (torch_rates, torch_parity.IN_TORCH, STEPPED, 1e-9),  # torch's recursions drift
    "optax": (optax_rates, of("optax"), FAR, 1e-9),
    "keras": (keras_rates, of("keras"), STEPPED, 2e-5),
    "timm": (timm_rates, of("timm"), FAR, 1e-9),
    "transformers": (transformers_rates, of("transformers"), FAR, 1e-9),
}
PAIRS = [(framework, name) for framework, (_, names, _, _) in FRAMEWORKS.items() for name in names]


def faults(count: int, seed: int, size: int = 4) -> list[str]:
    """Draw from `size` specs of each framework's families, and return those whose curve is another one there."""
    random = Random(seed)
    found = []
    for i in range(count):
        if i % len(PAIRS) == 0:
            random.shuffle(PAIRS)
        framework, name = PAIRS[i % len(PAIRS)]
        spec = without_last_epoch(long_spec(random, SCHEDULES[name], size))
        if (fault := check((framework, spec))) is not None:
            found.append(fault)
    return found


def check(case: tuple[str, Json]) -> str | None:
    """Return what is wrong with one case."""
    framework, spec = case
    if not known_to_work(spec, FAR) or not torch_means(framework, spec):
        return None
    theirs, _, last, tolerance = FRAMEWORKS[framework]
    schedule = parse(spec)
    last = last if schedule.length is None else min(last, schedule.length - 1)
    t = np.array(edges(spec, last))
    ours = rates(schedule, t, BASE_LR)
    try:
        expected = theirs(spec, t)
    except (ZeroDivisionError, ValueError, OverflowError) as error:  # as the framework's own class raises
        if isinstance(error, OverflowError) and not np.isfinite(ours).all():
            return None
        return f"{framework} {spec}: {type(error).__name__}: {error}"
    finite = np.isfinite(ours) | np.isfinite(expected)  # what overflows is refused
    t, ours, expected = t[finite], ours[finite], expected[finite]
    scale = max(expected.max(), 1e-30, *(spec[name] for name in spec if name.endswith("learning_rate")))
    off = ~(np.abs(ours - expected) <= tolerance * scale)
    if not off.any() or excused(spec, t[off]):
        return None
    i = int(off.argmax())
    return f"{framework} {spec}: {ours[i]!r} at step {t[i]}, not {expected[i]!r} ({off.sum()} of {len(t)} steps)"


def excused(spec: Json, off: Steps) -> bool:
    """Whether the steps that differ are restarts, which a logarithm or a quotient may miss by a step."""
    if spec.get("cycle"):
        return not (off % spec["decay_steps"]).any()
    factor = spec.get("cycle_mul", spec.get("t_mul", 2.0 if spec["type"] == "CosineDecayRestarts" else 1.0))
    return bool(factor != 1 and len(off) <= 2 * math.log(FAR) + 2)


if __name__ == "__main__":
    main(faults, len(PAIRS), __doc__ or "")
