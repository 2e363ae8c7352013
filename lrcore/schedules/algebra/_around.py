"""What schedules around a schedule have in common."""

from __future__ import annotations

from typing import Self

from pydantic import Field, field_validator

from lrcore.numerics import cost
from lrcore.numerics.cost import Load
from lrcore.numerics.formulas import Node, Value
from lrcore.schedules import AnySchedule
from lrcore.schedules._base import Schedule
from lrcore.schedules.compose import check_nesting, formula_inside, momentum_inside


class Around(Schedule):
    type: str
    schedule: AnySchedule = Field(description="the schedule inside")

    @field_validator("schedule")
    @classmethod
    def _fits(cls, schedule: Schedule) -> Schedule:
        if schedule.metric_driven:
            raise ValueError(f"{schedule.type} is driven by a metric and cannot be inside a {cls.name()}")
        if schedule.length == 0:
            raise ValueError("the schedule inside has no steps left")
        check_nesting(1 + schedule.depth, 1 + schedule.size)
        return schedule

    @property
    def size(self) -> int:
        return 1 + self.schedule.size

    @property
    def own_base_lr(self) -> float | tuple[float, ...] | None:
        return self.schedule.own_base_lr

    @property
    def length(self) -> int | None:
        return self.schedule.length

    @property
    def horizon(self) -> int | None:
        return self.schedule.horizon

    @property
    def joins(self) -> tuple[int, ...]:
        return self.schedule.joins

    @property
    def parts(self) -> tuple[Schedule, ...]:
        return (self.schedule,)

    @property
    def cycles_momentum(self) -> bool:
        return self.schedule.cycles_momentum

    def with_parts(self, parts: tuple[Schedule, ...]) -> Self:
        return self.model_copy(update={"schedule": parts[0]})

    def cost(self, load: Load) -> float:
        return cost.formula(load, 2 * cost.ARITHMETIC) + self.schedule.cost(load)

    def momentum_at(self, t: Node) -> Value:
        return momentum_inside(self.schedule)

    def _formula(self, base_lr: float) -> Node:
        """That of the schedule inside."""
        return formula_inside(self.schedule, base_lr, "schedule")
