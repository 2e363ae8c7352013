"""NeMo: the `sched` of an optimizer's configuration, alone or in that of a model."""

from __future__ import annotations

from typing import Any

from lrcore.configs import torch
from lrcore.configs._base import (
    Context,
    Found,
    Json,
    Options,
    Path,
    an_object,
    choose,
    first_section,
    rate_of,
    section,
    validated,
)
from lrcore.configs._pieces import CONSTANT, cosine, fixed, line_to, polynomial, sequence, shifted
from lrcore.errors import CurveError
from lrcore.family import Flag
from lrcore.schedules._base import Count, Factor, Fraction, Index, Rate

TORCH = ("StepLR", "ExponentialLR", "CyclicLR", "ReduceLROnPlateau")
OPTIMIZERS = (("model", "optim"), ("optim",))  # where one may be
LEFT_OUT = ("name", "monitor", "reduce_on_plateau", "t_max_epochs", "t_accumulate_grad_batches", "t_num_workers")


class _Policy(Options):
    max_steps: Count | None = None
    warmup_steps: Index | None = None
    warmup_ratio: Fraction | None = None
    min_lr: Rate = 0.0
    last_epoch: int = -1


class _Hold(_Policy):
    hold_steps: Index | None = None
    hold_ratio: Fraction | None = None


class _Cosine(_Policy):
    constant_steps: Index | None = None
    constant_ratio: Fraction | None = None


class _Polynomial(_Policy):
    power: Factor = 1.0
    cycle: Flag = False


class _PolynomialHold(_Hold, _Polynomial):
    pass


class _Noam(_Policy):
    d_model: Count


class _Square(_Policy):
    min_lr: Rate = 1e-5


class _NoamHold(_Hold):
    decay_rate: Factor = 0.5


POLICIES: dict[str, type[_Policy]] = {
    "CosineAnnealing": _Cosine,
    "InverseSquareRootAnnealing": _Policy,
    "NoamAnnealing": _Noam,
    "NoamHoldAnnealing": _NoamHold,
    "PolynomialDecayAnnealing": _Polynomial,
    "PolynomialHoldDecayAnnealing": _PolynomialHold,
    "SquareAnnealing": _Square,
    "SquareRootAnnealing": _Policy,
    "WarmupAnnealing": _Policy,
    "WarmupHoldAnnealLinear": _Hold,
    "WarmupHoldPolicy": _Hold,
    "WarmupPolicy": _Policy,
}


def fits(config: Any) -> bool:
    """Whether this looks like NeMo's."""
    if not isinstance(config, dict):
        return False
    optim, _ = first_section(config, *OPTIMIZERS)
    sched = optim.get("sched", config)
    return isinstance(sched, dict) and sched.get("name") in (*POLICIES, *TORCH) and sched is not config


def read(config: Any, context: Context) -> Found:
    """Read `sched`, the rate beside it and the length that the trainer has."""
    config = an_object(config)
    optim, path = first_section(config, *OPTIMIZERS)
    whole = "sched" in optim
    sched = section(optim, "sched", path) if whole else config
    path = (*path, "sched") if whole else ()
    name = choose(sched.get("name"), (*POLICIES, *TORCH), "the scheduler", (*path, "name"))
    arguments = {key: value for key, value in sched.items() if key not in LEFT_OUT}
    rate = rate_of(optim, path[:-1])
    if name in TORCH:
        return Found(torch.of_class({"name": name} | arguments, path), context.known_rate(rate))
    if isinstance(inner := arguments.get("args"), dict):
        arguments, path = inner, (*path, "args")
    if arguments.get("max_steps") is None:
        arguments |= {"max_steps": section(config, "trainer").get("max_steps")}
    if arguments["max_steps"] == -1:
        arguments["max_steps"] = None
    found = validated(POLICIES[name], arguments, path)
    base = context.rate(rate)
    total = context.total(found.max_steps) if name != "NoamAnnealing" else context.total_steps or found.max_steps
    if found.min_lr > base:
        raise CurveError((*path, "min_lr"), f"it must be at most lr ({base:g})")
    return Found(_schedule(name, found, total or 0, base, path), base, total)


def _steps(found: Any, name: str, total: int, path: Path) -> int:
    """Steps of a phase, given as such or as a ratio of the run, rounded down."""
    steps, ratio = getattr(found, f"{name}_steps", None), getattr(found, f"{name}_ratio", None)
    if steps is not None and ratio is not None:
        raise CurveError((*path, f"{name}_ratio"), f"give either {name}_steps or {name}_ratio")
    return int(steps if steps is not None else (ratio or 0.0) * total)


def _schedule(name: str, found: _Policy, total: int, base: float, path: Path) -> Json:
    warm, hold = _steps(found, "warmup", total, path), _steps(found, "hold", total, path)
    if isinstance(found, _Noam):
        return _noam(found, warm)
    last, low = _steps(found, "constant", total, path), found.min_lr
    steps = total - warm - hold - last
    if steps < 1:
        raise CurveError(
            (*path, "max_steps"), f"there must be steps after the {warm + hold + last} of the other phases"
        )
    down = _down(name, found, warm, hold, total, base)
    # the warm-up of NeMo begins a step late, except for a cosine with constant steps
    if last:
        ramp: Json = {"type": "WarmUp", "warmup_steps": max(1, warm), "schedule": CONSTANT}
    else:
        ramp = {"type": "LinearLR", "start_factor": 1 / (warm + 1), "end_factor": 1.0, "total_iters": max(1, warm)}
    late = 1 if name == "SquareRootAnnealing" and warm else 0  # it jumps a step after the warm-up
    return sequence(
        [(ramp, warm + late), (CONSTANT, hold), (shifted(down, late), steps + 1 - late), (fixed(low), None)]
    )


def _down(name: str, found: _Policy, warm: int, hold: int, total: int, base: float) -> Json:
    """The decay after warm-up and hold, up to max_steps."""
    low, steps = found.min_lr, total - warm - hold
    match found:
        case _Cosine():
            return cosine(steps - _steps(found, "constant", total, ()), low)
        case _Polynomial(cycle=True):
            raise CurveError(("cycle",), "a polynomial in cycles is not supported: leave it out")
        case _Polynomial():
            return polynomial(steps, found.power, low)
        case _NoamHold():
            if not warm:
                raise CurveError(("warmup_steps",), "NoamHoldAnnealing needs it")
            return _bounded({"type": "InversePower", "gamma": 1 / warm, "power": found.decay_rate}, low)
    match name:
        case "WarmupPolicy" | "WarmupHoldPolicy":
            return CONSTANT
        case "WarmupAnnealing" | "WarmupHoldAnnealLinear":
            return line_to(steps, low / base if base else 0.0)
        case "InverseSquareRootAnnealing":
            return {"type": "InversePower", "gamma": 1 / (warm + 1), "power": 0.5}
        case "SquareAnnealing":
            return _bounded({"type": "PolynomialLR", "total_iters": steps, "power": 2.0}, low)
    # the root of what is left of the whole run, not of what follows the warm-up
    return _bounded(shifted({"type": "PolynomialLR", "total_iters": total, "power": 0.5}, warm), low)


def _bounded(schedule: Json, low: float) -> Json:
    return {"type": "Clamp", "min": low, "schedule": schedule} if low else schedule


def _noam(found: _Noam, warm: int) -> Json:
    """The rate of step 1 at step 0, too; NoamDecay without a rate of its own."""
    norm = found.d_model**-0.5
    if warm:
        rising = {"type": "LambdaLR", "lr_lambda": f"{norm!r} * max(1, epoch) * {warm**-1.5!r}"}
        falling = {"type": "InversePower", "gamma": 1 / warm, "power": 0.5}
        top = {"type": "Scale", "factor": norm * warm**-0.5, "schedule": falling}
        return sequence([(rising, warm), (_bounded(top, found.min_lr), None)])
    return {"type": "LambdaLR", "lr_lambda": f"{norm!r} / sqrt(max(1, epoch))"}
