"""Schedules written as an expression in the step: arithmetic on a white list, never code."""

from __future__ import annotations

from typing import Annotated, Literal, NoReturn

import numpy as np
from pydantic import Field

from lrcore.errors import CurveError
from lrcore.expressions.expression import Expression
from lrcore.family import ByShape, Items
from lrcore.numerics import cost, formulas, grid
from lrcore.numerics.cost import Load
from lrcore.numerics.formulas import Node, NoFormula, Value
from lrcore.numerics.grid import Extent, Grid
from lrcore.schedules._base import Rates, TorchSchedule

GroupExpressions = Annotated[Expression | Annotated[tuple[Expression, ...], Items(64, least=1)], ByShape()]
MAX_PRODUCT = 10**7  # steps whose factors are multiplied one after another


class _Expressions(TorchSchedule):
    per_group = ("lr_lambda",)

    type: str
    lr_lambda: GroupExpressions = Field(
        description="a lambda or an expression in epoch (or step), or a list of them, one a parameter group"
    )

    @property
    def size(self) -> int:
        return max(each.size for each in self._expressions())

    def _expressions(self) -> tuple[Expression, ...]:
        return self.lr_lambda if isinstance(self.lr_lambda, tuple) else (self.lr_lambda,)

    def expression(self, group: int) -> Expression:
        """The expression of one parameter group."""
        return self.lr_lambda[group] if isinstance(self.lr_lambda, tuple) else self.lr_lambda


class LambdaLR(_Expressions):
    """lr(t) = base_lr * lr_lambda(t).

    The function is a Python lambda of one parameter, as it stands in a training script, or an expression in `epoch`
    (or `step`, the same number). It may have numbers, + - * / // % **, comparisons, `in` with a list or a range,
    `and`, `or`, `not`, `a if b else c`, pi, e, tau, and the functions abs, atan, ceil, clip, cos, cosh, exp, exp2,
    expm1, float, floor, int, log, log10, log1p, log2, max, min, pow, round, sin, sinh, sqrt, square, tan, tanh, trunc
    and where, also after `math.`, `np.`, `numpy.`, `jnp.` and `torch.`. Write a number in place of any other name. It
    is computed in float64 and never run as Python.
    """

    summary = "the rate times any arithmetic expression in the step"
    formula = "base_lr * lr_lambda(t)"
    origin = "torch.optim.lr_scheduler.LambdaLR"
    example = {"type": "LambdaLR", "lr_lambda": "0.95 ** epoch"}

    type: Literal["LambdaLR"]

    def closed_cost(self, load: Load) -> float:
        own = cost.formula(load, cost.ARITHMETIC)
        return own + max(
            cost.powers(load) if each.power else each.cost(load.values, load.calls) for each in self._expressions()
        )

    def formula_at(self, t: Node, base_lr: float) -> Value:
        expression = self.expression(0)
        factor = base_lr * formulas.apart(expression.as_formula(), t)
        if expression.power is None:
            return factor
        base, per = expression.power
        return formulas.written(formulas.power(t, base, base_lr, per), lambda: factor)


class MultiplicativeLR(_Expressions):
    """lr(t) = base_lr * lr_lambda(1) * ... * lr_lambda(t); lr_lambda(0) is never used.

    In a sequence it starts again from the base rate with an empty product; torch's goes on from the rate before it
    and applies lr_lambda(0) as well. With `last_epoch` the product still begins at 1.
    """

    summary = "multiplies the rate at each step by an arithmetic expression in that step"
    formula = "base_lr * product(lr_lambda(i) for i in 1..t)"
    origin = "torch.optim.lr_scheduler.MultiplicativeLR"
    example = {"type": "MultiplicativeLR", "lr_lambda": "1 - 1 / (epoch + 10)"}

    type: Literal["MultiplicativeLR"]

    def closed_cost(self, load: Load) -> float:
        steps = load.calls * min(load.last, MAX_PRODUCT)  # beyond it there is a refusal and no work
        products = cost.formula(load, cost.ARITHMETIC) + steps * (3 * cost.COPY + cost.ARITHMETIC)
        return max(
            cost.powers(load) if (each.constant or 0) > 0 else products + each.cost(steps, load.calls)
            for each in self._expressions()
        )

    def formula_at(self, t: Node, base_lr: float) -> Value:
        factor = self.expression(0)
        if factor.constant is not None and factor.constant > 0:
            return formulas.power(t, factor.constant, base_lr)

        def fill(out: Rates, t: Grid) -> Extent:
            if t.last > MAX_PRODUCT:
                raise CurveError(
                    ("schedule",),
                    f"MultiplicativeLR multiplies every factor up to step {t.last}; the furthest step is {MAX_PRODUCT}",
                )
            products = np.cumprod(np.concatenate([np.ones(1), factor(np.arange(1, t.last + 1))]))
            np.multiply(products[t.start : t.last + 1 : t.stride], base_lr, out=out)
            return grid.extent(out)

        def refuse() -> NoReturn:
            raise NoFormula(("lr_lambda",), "a product of factors that change from step to step has no formula")

        return formulas.filled(t, fill, refuse)
