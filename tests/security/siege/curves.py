"""Worst requests for curves, comparisons, translations and fits."""

from __future__ import annotations

import json
import math
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from lrcore.dialects import FRAMEWORKS
from tests.security.siege.wire import Request, get, post
from tests.security.siege.worst import World, add, worst

Schedule = dict[str, Any]

FORMATS = ("json", "csv", "npy", "arrow", "png", "svg")
EXPRESSIONS = (
    "step%1e-300",
    "exp(-step)**1.1",
    "sin(step*1e300)",
    "(step*1e-320)**0.9",
    "log(step+1)//1e-9",
    "round(step/3,15)",
)
COSINE = {"type": "CosineAnnealingLR", "T_max": 10**7}
STRIDE = 10**11
QUERY = 60_000  # bytes: the head of a request may have 64 KiB


def repeat_in_repeat(depth: int = 2) -> Schedule:
    """Cycles that grow as slowly as they may, in cycles of the same kind."""
    schedule: Schedule = {"type": "ExponentialLR", "gamma": 0.999}
    for _ in range(depth):
        schedule = {"type": "Repeat", "cycle_steps": 1, "growth": 1.001, "schedule": schedule}
    return schedule


def expression(world: World) -> str:
    """The longest expression of the slowest terms."""
    term = world.rng.choice(EXPRESSIONS)
    terms = min(24, (world.bounds.expression + 1) // (len(term) + 1))  # they may nest 30 deep
    return "+".join([term] * world.rng.choice((1, terms)))


def nested(schedule: Schedule, world: World, depth: int = 7) -> Schedule:
    """A schedule in schedules of all kinds, as deep as they nest."""
    for _ in range(depth):
        around = world.rng.choice(
            (
                {"type": "Scale", "factor": 1.0},
                {"type": "Clamp", "min": 0.0, "max": 1e300},
                {"type": "Shift", "by": -1},
                {"type": "WarmUp", "warmup_steps": 1000, "mode": "multiply", "shape": "cosine"},
                {"type": "Repeat", "cycle_steps": 999_983, "decay": 0.5},
                {"type": "BaseLR", "base_lr": 0.1},
            )
        )
        schedule = around | {"schedule": schedule}
    return schedule


def curve(world: World, schedule: Schedule, form: str = "", **changes: Any) -> Request:
    """Ask for a curve, in any format if none is given."""
    body = {"schedule": schedule, "base_lr": 0.1, "steps": world.steps} | changes
    return post(f"/v1/curves?format={form or world.rng.choice(FORMATS)}", body)


@worst("curves", "Repeat in Repeat, growth 1.001, stride 1e11", weight=3)
def _repeats(world: World) -> Request:
    steps = 10**15 // STRIDE // world.rng.choice((1, 10, 100))
    return curve(world, repeat_in_repeat(world.rng.choice((2, 3, 7))), "json", steps=steps, stride=STRIDE)


@worst("curves", "Repeat in Repeat, every step", weight=2)
def _repeats_of_every_step(world: World) -> Request:
    return curve(world, repeat_in_repeat(7), "npy", steps=world.bounds.steps // world.rng.choice((10, 100, 1000)))


@worst("curves", "LambdaLR of slow terms", weight=3)
def _expressions(world: World) -> Request:
    return curve(world, {"type": "LambdaLR", "lr_lambda": expression(world)})


@worst("curves", "MultiplicativeLR to the furthest step")
def _products(world: World) -> Request:
    terms = "+".join(["1"] + ["0*sin(step)"] * world.rng.choice((1, 10, 39)))
    return curve(world, {"type": "MultiplicativeLR", "lr_lambda": terms}, "json", start=world.bounds.steps - 5, steps=5)


@worst("curves", "eight schedules deep")
def _deep(world: World) -> Request:
    inner: Schedule = {"type": "LambdaLR", "lr_lambda": expression(world)}
    return curve(world, nested(inner, world))


@worst("curves", "32 x 31 schedulers", weight=2)
def _wide(world: World) -> Request:
    leaf = {"type": "ExponentialLR", "gamma": 0.999999}
    chain = {"type": "ChainedScheduler", "schedulers": [leaf] * (world.bounds.parts - 1)}
    parts = [chain] * world.bounds.parts
    outer: Schedule = {"type": "ChainedScheduler", "schedulers": parts}
    if world.rng.random() < 0.5:
        milestones = [1000 * (i + 1) for i in range(len(parts) - 1)]
        outer = {"type": "SequentialLR", "schedulers": parts, "milestones": milestones}
    return curve(world, outer, steps=world.bounds.steps // world.rng.choice((25, 100)))


def _longest(form: str, world: World) -> Request:
    return curve(world, COSINE, form, steps=world.bounds.steps)


for _form in FORMATS:
    add("curves", f"1e7 steps as {_form}", partial(_longest, _form))


@worst("curves", "64 groups", weight=2)
def _groups(world: World) -> Request:
    groups = world.bounds.groups
    rates = [0.1 + i / 1000 for i in range(groups)]
    schedule: Schedule = {"type": "OneCycleLR", "max_lr": 0.1, "total_steps": world.bounds.steps}
    return curve(
        world, world.rng.choice((COSINE, schedule)), steps=world.bounds.steps // groups // 2, base_lr=rates, where=0.0
    )


@worst("curves", "10,000 milestones")
def _milestones(world: World) -> Request:
    milestones = [7 * i + 1 for i in range(world.bounds.milestones)]
    return curve(world, {"type": "MultiStepLR", "milestones": milestones, "gamma": 0.9999})


@worst("curves", "ReduceLROnPlateau over 1e6 metrics")
def _plateau(world: World) -> Request:
    steps = world.bounds.metrics
    metrics = [i % 2 for i in range(steps)]
    return curve(
        world,
        {"type": "ReduceLROnPlateau", "patience": 0, "factor": 0.999},
        steps=min(steps, world.bounds.steps // world.bounds.groups),
        base_lr=[0.1] * world.bounds.groups,
        metrics=metrics,
    )


def _compared(form: str, world: World) -> Request:
    names, groups = world.bounds.names, world.bounds.groups
    curves = [
        {"name": f"{i}" + "x" * 190, "schedule": COSINE, "base_lr": [0.1 + j for j in range(groups)]}
        for i in range(names)
    ]
    body = {"steps": world.bounds.steps // names // groups, "curves": curves}
    return post(f"/v1/curves/compare?format={form}", body)


for _form in ("svg", "png", "json", "csv"):
    add("curves", f"100 names x 64 groups as {_form}", partial(_compared, _form), weight=2 if _form == "svg" else 1)


@worst("curves", "60 lines that go up and down as png")
def _strokes(world: World) -> Request:
    up_and_down = {"type": "LambdaLR", "lr_lambda": "1+sin(step)"}
    curves = [{"name": str(i), "schedule": up_and_down, "base_lr": 1} for i in range(60)]
    return post("/v1/curves/compare?format=png", {"steps": world.bounds.steps // 60, "curves": curves})


@worst("curves", "1e7 rates of many digits as csv")
def _digits(world: World) -> Request:
    schedule = {"type": "LambdaLR", "lr_lambda": "abs(sin(step*12345.678))*1e-200"}
    return curve(world, schedule, "csv", steps=world.bounds.steps)


@worst("curves", "100 different slow curves compared")
def _slow_comparison(world: World) -> Request:
    schedules = (repeat_in_repeat(7), {"type": "LambdaLR", "lr_lambda": expression(world)})
    curves = [
        {"name": str(i), "schedule": schedules[i % 2], "base_lr": 0.1 + i / 1000} for i in range(world.bounds.names)
    ]
    steps = 10**15 // STRIDE // world.rng.choice((1, 10))
    return post("/v1/curves/compare", {"steps": steps, "stride": STRIDE, "curves": curves})


@worst("schedules", "a huge formula translated", weight=2)
def _translated(world: World) -> Request:
    inner: Schedule = {"type": "LambdaLR", "lr_lambda": "+".join(["sin(step)"] * 24)}
    parts = [inner] * 13
    chained: Schedule = {"type": "ChainedScheduler", "schedulers": parts}
    sequence = {"type": "SequentialLR", "schedulers": parts, "milestones": [100 * (i + 1) for i in range(12)]}
    schedule = world.rng.choice((chained, sequence, repeat_in_repeat(3), nested(chained, world, 6)))
    to = world.rng.choice(FRAMEWORKS)
    return post("/v1/schedules/translate", {"to": to, "base_lr": 0.1, "schedule": schedule})


@worst("schedules", "a fit of 900,000 noisy rates", weight=2)
def _noisy_fit(world: World) -> Request:
    size = min(world.bounds.fit, world.bounds.body // 5 - 100)
    digits = world.rng.choices("123456789", k=size)
    return Request("POST", "/v1/schedules/fit", b'{"limit":20,"lr":[%b]}' % ",".join(f"0.{d}" for d in digits).encode())


@worst("schedules", "a fit of 200,000 rates that nearly fit")
def _near_fit(world: World) -> Request:
    size = 200_000
    jitter = world.rng.random()
    rates = [
        round(0.1 * (1 + math.cos(math.pi * i / size)) + 1e-4 * math.sin(i * jitter) + 1e-3, 8) for i in range(size)
    ]
    return post("/v1/schedules/fit", {"limit": 20, "lr": rates})


@worst("curves", "a long query")
def _long_query(world: World) -> Request:
    if world.rng.random() < 0.5:
        milestones = "&".join(f"milestones={i}" for i in range(1, QUERY // 17))
        return get(f"/v1/curves/MultiStepLR?gamma=0.5&base_lr=1&steps={world.steps}&{milestones}")
    text = quote(json.dumps({"type": "MultiStepLR", "milestones": list(range(1, 2000)), "gamma": 0.9}), safe="")
    return get(f"/v1/curves?spec={text}&base_lr=1&steps={world.steps}")


@worst("curves", "a query of unknown names")
def _unknown_query(world: World) -> Request:
    return get("/v1/curves/StepLR?" + "&".join(f"a{i}=1" for i in range(QUERY // 9)))


@worst("curves", "ETags without an end")
def _etags(world: World) -> Request:
    query = urlencode({"T_max": 100, "base_lr": 0.1, "steps": world.bounds.steps, "format": "csv"})
    tags = world.rng.choice(
        (",".join(f'W/"{i:x}"' for i in range(QUERY // 10)), '"' * QUERY, "*", ",\t " * (QUERY // 3))
    )
    return get(f"/v1/curves/CosineAnnealingLR?{query}", ("If-None-Match", tags))


@worst("curves", "a small curve that nobody asked for before", weight=2)
def _small(world: World) -> Request:
    body = {"schedule": COSINE, "base_lr": world.rng.random(), "steps": 1000}
    return Request("POST", "/v1/curves", orjson.dumps(body))
