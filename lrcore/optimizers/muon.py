"""Muon, Jordan et al. 2024, https://kellerjordan.github.io/posts/muon. torch.optim.Muon, and AdamW beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lrcore.family import Flag, Items, Number, Whole
from lrcore.optimizers._base import Beta, Decay, Epsilon, Optimizer
from lrcore.optimizers.adamw import AdamW

if TYPE_CHECKING:
    import torch


class Muon(Optimizer):
    """The momentum of a weight matrix is made orthogonal by Newton and Schulz's iteration before the step.

    torch's class takes matrices alone. The other parameters (convolutions, biases, norms) are trained by `others`,
    which has the last column.
    """

    summary = "momentum made orthogonal for weight matrices, AdamW for all other parameters"
    origin = "torch.optim.Muon"
    example = {"type": "Muon", "lr": 0.02, "others": {"type": "AdamW", "lr": 1e-3}}

    type: Literal["Muon"]
    weight_decay: Decay = 0.1
    momentum: Beta = 0.95
    nesterov: Flag = True
    ns_coefficients: Annotated[tuple[Number, ...], Items(3, least=3)] = (
        3.4445,
        -4.775,
        2.0315,
    )
    eps: Epsilon = 1e-7
    ns_steps: Annotated[int, Whole(ge=1, lt=100)] = 5
    adjust_lr_fn: Literal["original", "match_rms_adamw"] | None = None
    others: AdamW = Field(default_factory=lambda: AdamW(type="AdamW"), description="trains what is no matrix")

    @model_validator(mode="after")
    def _others_are_plain(self) -> Muon:
        if self.others.param_groups or self.others.layer_decay is not None:
            raise ValueError("others: param_groups and layer_decay are given for Muon itself")
        return self

    def build(self, groups: list[dict[str, Any]], **implementation: bool) -> list[torch.optim.Optimizer]:
        import torch

        last = len(self.param_groups) + 1
        matrices = [group for group in groups if group["column"] != last]
        rest = [group for group in groups if group["column"] == last]
        made: list[torch.optim.Optimizer] = []
        if matrices:
            made.append(torch.optim.Muon(matrices, **self.arguments()))
        return made + (self.others.build(rest, **implementation) if rest else [])

    def arguments(self) -> dict[str, Any]:
        return {name: value for name, value in super().arguments().items() if name != "others"}

    def at(self, lr: float) -> Self:
        others = self.others.at(self.others.lr * (lr / self.lr))
        return super().at(lr).model_copy(update={"others": others})

    def column(self, name: str, shape: tuple[int, ...]) -> int:
        return super().column(name, shape) if len(shape) == 2 else len(self.param_groups) + 1

    @property
    def base_lrs(self) -> tuple[float, ...]:
        return (*super().base_lrs, self.others.lr)

    @property
    def base_momenta(self) -> tuple[float, ...]:
        return (self.momentum,) * (len(self.base_lrs) - 1) + (self.others.betas[0],)

    @property
    def weight_decays(self) -> tuple[float, ...]:
        return (*super().weight_decays, self.others.weight_decay)
