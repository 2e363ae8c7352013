"""detectron2: the SOLVER of a configuration, with detectron2's defaults."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from lrcore.configs._base import Context, Found, Json, Path, Section, choose, section, validated
from lrcore.errors import CurveError
from lrcore.family import Flag, Items
from lrcore.schedules._base import Count, Factor, Fraction, Index, Rate

NAMES = ("WarmupMultiStepLR", "WarmupCosineLR", "WarmupStepWithFixedGammaLR")
GROUPS = ("BIAS_LR_FACTOR", "WEIGHT_DECAY_BIAS", "BACKBONE_MULTIPLIER")


class _Solver(Section):
    LR_SCHEDULER_NAME: Any = "WarmupMultiStepLR"
    MAX_ITER: Count = 40_000
    BASE_LR: Rate = 0.001
    BASE_LR_END: Rate = 0.0
    GAMMA: Factor = 0.1
    STEPS: Annotated[list[Index], Items(10_000)] = [30_000]
    NUM_DECAYS: Annotated[int, Field(ge=1, le=1000)] = 3
    WARMUP_FACTOR: Fraction = 1 / 1000
    WARMUP_ITERS: Index = 1000
    WARMUP_METHOD: Literal["linear", "constant"] = "linear"
    RESCALE_INTERVAL: Flag = False

    @field_validator("STEPS", mode="before")
    @classmethod
    def _tuple(cls, value: Any) -> Any:
        """A tuple as YAML has it, "(60000, 80000)", or the only number of one, (30000)."""
        if isinstance(value, str):
            numbers = [part.strip() for part in value.strip("()[] ").split(",") if part.strip()]
            return [int(number) if number.isdecimal() and len(number) <= 15 else number for number in numbers]
        return [value] if type(value) is int else value


def fits(config: Any) -> bool:
    """Whether this looks like detectron2's."""
    return isinstance(config, dict) and ("SOLVER" in config or bool(config.keys() & {"BASE_LR", "LR_SCHEDULER_NAME"}))


def read(config: Any, context: Context) -> Found:
    """Read SOLVER, or what is in it."""
    whole = isinstance(config, dict) and "SOLVER" in config
    path: Path = ("SOLVER",) if whole else ()
    given = section(config, "SOLVER") if whole else config
    found = validated(_Solver, given, path)
    context.left_out(name for name in found.others if "LR" in name or "WARMUP" in name)
    if defaults := {"BASE_LR", "MAX_ITER", "WARMUP_ITERS"} - found.model_fields_set:
        context.note(f"{', '.join(sorted(defaults))} by default")
    own = found.MAX_ITER if "MAX_ITER" in found.model_fields_set else None
    total = context.total(own) if context.total_steps is not None else found.MAX_ITER
    name = choose(found.LR_SCHEDULER_NAME, NAMES, "the scheduler", (*path, "LR_SCHEDULER_NAME"))
    if found.RESCALE_INTERVAL and found.WARMUP_ITERS and name != "WarmupCosineLR":
        raise CurveError((*path, "RESCALE_INTERVAL"), "supported for WarmupCosineLR only: leave it out")
    rate = context.rate(found.BASE_LR)
    warm = min(found.WARMUP_ITERS, total)
    after = _schedule(name, found, total - (warm if found.RESCALE_INTERVAL else 0), rate, path)
    if warm:
        ramp = {"type": "WarmUp", "warmup_steps": warm, "start": found.WARMUP_FACTOR, "schedule": after}
        after = ramp | {"shape": found.WARMUP_METHOD, "mode": "shift" if found.RESCALE_INTERVAL else "overlay"}
    return Found(after, rate, total)


def _schedule(name: str, found: _Solver, total: int, rate: float, path: Path) -> Json:
    if name == "WarmupCosineLR":
        end = found.BASE_LR_END / found.BASE_LR if found.BASE_LR else 0.0
        if end > 1:
            raise CurveError((*path, "BASE_LR_END"), "it must be at most BASE_LR")
        return {"type": "CosineAnnealingLR", "T_max": max(1, total)} | ({"eta_min": end * rate} if end else {})
    if name == "WarmupMultiStepLR":
        steps = [step for step in found.STEPS if step <= total]
    else:
        parts = found.NUM_DECAYS + 1
        steps = [-(-i * total // parts) for i in range(1, parts)]
    if sorted(set(steps)) != steps:
        raise CurveError((*path, "STEPS"), "the steps must rise")
    return {"type": "MultiStepLR", "milestones": steps, "gamma": found.GAMMA}
