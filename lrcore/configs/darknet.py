"""darknet: the [net] section of a cfg, as an object."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from lrcore.configs._base import Context, Found, Json, Path, Section, section, validated
from lrcore.configs._pieces import CONSTANT, shifted
from lrcore.errors import CurveError
from lrcore.family import Items, Number
from lrcore.schedules._base import Count, Factor, Index, Rate


class _Net(Section):
    learning_rate: Rate = 0.001
    policy: Literal["constant", "exp", "poly", "sig", "step", "steps"] = "constant"
    burn_in: Index = 0
    power: Factor = 4.0
    step: Count = 1
    scale: Factor = 1.0
    gamma: Number = 1.0
    steps: Annotated[list[Index], Items(1000)] = []
    scales: Annotated[list[Factor], Items(1000)] = []
    max_batches: Annotated[int, Field(ge=0, le=10**15)] = 0

    @field_validator("steps", "scales", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        """A list as a cfg has it: "400000,450000"."""
        if isinstance(value, int | float) and not isinstance(value, bool):
            return [value]
        if not isinstance(value, str):
            return value
        try:
            return [float(each) for each in value.split(",")]
        except ValueError:
            return value


def fits(config: Any) -> bool:
    """Whether this looks like darknet's."""
    return isinstance(config, dict) and isinstance(net := config.get("net", config), dict) and (
        "burn_in" in net or ("policy" in net and "learning_rate" in net)
    )  # fmt: skip


def read(config: Any, context: Context) -> Found:
    """Read what darknet's get_current_rate makes of the section."""
    whole = isinstance(config, dict) and "net" in config
    path: Path = ("net",) if whole else ()
    found = validated(_Net, section(config, "net") if whole else config, path)
    if "learning_rate" not in found.model_fields_set and context.base_lr is None:
        context.note("learning_rate 0.001, the default")
    context.note("darknet's first update is its batch 1")
    after = _policy(found, path)
    burn = found.burn_in
    if burn:
        shape = {"shape": "power", "power": found.power, "mode": "overlay_to_base"}
        after = {"type": "WarmUp", "warmup_steps": burn, "schedule": after} | shape
    return Found(shifted(after, 1), context.rate(found.learning_rate), context.total_steps or found.max_batches or None)


def _policy(found: _Net, path: Path) -> Json:
    match found.policy:
        case "constant":
            return CONSTANT
        case "step":
            return {"type": "StepLR", "step_size": found.step, "gamma": found.scale}
        case "exp":
            return {"type": "ExponentialLR", "gamma": found.gamma}
        case "poly":
            if not found.max_batches:
                raise CurveError((*path, "max_batches"), "the policy poly needs it")
            return {"type": "PolynomialLR", "total_iters": found.max_batches, "power": found.power}
        case "sig":
            return {"type": "Sigmoid", "gamma": -found.gamma, "stepsize": found.step}
    return _steps(found, path)


def _steps(found: _Net, path: Path) -> Json:
    """The policy steps: equal steps count as one, with the product of their scales."""
    if len(found.steps) != len(found.scales):
        raise CurveError((*path, "scales"), f"there must be as many as steps, {len(found.steps)}")
    if sorted(found.steps) != found.steps:
        raise CurveError((*path, "steps"), "the steps must rise")
    factors: dict[int, float] = {}
    for step, scale in zip(found.steps, found.scales, strict=True):
        factors[step] = factors.get(step, 1.0) * scale
    if not factors:
        return CONSTANT
    return {"type": "DarknetSteps", "milestones": list(factors), "scales": list(factors.values())}
