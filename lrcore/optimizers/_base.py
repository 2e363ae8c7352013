"""The base of every optimizer: its arguments, and a `build` that only a worker calls."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lrcore.family import Flag, Items, Member, Name, Number, Spec

if TYPE_CHECKING:
    import torch

OWN = {"type", "param_groups", "layer_decay", "decay_norm_and_bias"}  # what is not an argument of torch's class

Decay = Annotated[Number, Field(ge=0)]
Beta = Annotated[Number, Field(ge=0, lt=1)]
Betas = Annotated[tuple[Beta, ...], Items(2, least=2)]
Epsilon = Annotated[Number, Field(ge=0)]


class ParamGroup(Spec):
    """Parameters with a rate or a weight decay of their own."""

    params: Name = Field(description="names of parameters, with * and ? as in a shell, such as fc.*")
    lr: Annotated[Number, Field(ge=0)] | None = Field(None, description="the optimizer's if null")
    weight_decay: Decay | None = Field(None, description="the optimizer's if null")


class Optimizer(Member):
    """A torch optimizer, its rates the base rates of the job's schedule.

    Column 0 is what no pattern of param_groups names, column i what the i-th pattern is the first to name.
    """

    fused: ClassVar[bool] = False  # whether torch's class does a step in one kernel
    capturable: ClassVar[bool] = False  # whether a step of it can be part of a CUDA graph

    lr: Annotated[Number, Field(ge=0)] = Field(1e-3, description="the initial rate, base_lr of the schedule")
    weight_decay: Decay = 0.0
    param_groups: Annotated[tuple[ParamGroup, ...], Items(63)] = ()
    layer_decay: Annotated[Number, Field(gt=0, le=1)] | None = Field(
        None, description="the last layer has the whole rate, each one before it that share of the next one's"
    )
    decay_norm_and_bias: Flag = Field(
        True, description="whether weight decay also acts on parameters with one dimension: biases, and norms' weights"
    )

    def build(self, groups: list[dict[str, Any]], **implementation: bool) -> list[torch.optim.Optimizer]:
        """The optimizers that together step all of torch's parameter groups, in the groups' order.

        Args:
            groups: each with its params, lr, weight_decay and column.
            implementation: foreach, fused and capturable, where the class has them.
        """
        import torch

        return [getattr(torch.optim, self.name())(groups, **self.arguments(), **implementation)]

    def arguments(self) -> dict[str, Any]:
        """Torch's arguments."""
        return self.model_dump(exclude=OWN)

    def at(self, lr: float) -> Self:
        """The same optimizer with another initial rate; rates of parameter groups keep their ratio to it.

        Raises:
            ZeroDivisionError: there are such rates, and this one is 0.
        """
        groups = (
            group if group.lr is None else group.model_copy(update={"lr": group.lr * (lr / self.lr)})
            for group in self.param_groups
        )
        return self.model_copy(update={"lr": lr, "param_groups": tuple(groups)})

    def check_momentum(self, momentum: NDArray[np.float64]) -> None:
        """Raise ValueError if the optimizer cannot follow scheduled momenta, shape (columns, intervals)."""

    def column(self, name: str, shape: tuple[int, ...]) -> int:
        """The column of a parameter in base_lrs and weight_decays."""
        matching = (i for i, group in enumerate(self.param_groups, 1) if fnmatchcase(name, group.params))
        return next(matching, 0)

    @property
    def base_lrs(self) -> tuple[float, ...]:
        """Initial rate of each column."""
        return (self.lr, *(self.lr if group.lr is None else group.lr for group in self.param_groups))

    @property
    def weight_decays(self) -> tuple[float, ...]:
        """Weight decay of each column."""
        own = (group.weight_decay for group in self.param_groups)
        return (self.weight_decay, *(self.weight_decay if decay is None else decay for decay in own))

    @property
    def base_momenta(self) -> tuple[float, ...] | None:
        """Momentum, or beta1 where it has that, of each column; None if it has neither."""
        betas = getattr(self, "betas", None)
        momentum: float | None = betas[0] if betas else getattr(self, "momentum", None)
        return None if momentum is None else (momentum,) * len(self.base_lrs)
