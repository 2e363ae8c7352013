"""What the schedules of transformers have in common: a line from 0, and the length of the run."""

from __future__ import annotations

from pydantic import Field

from lrcore.numerics import formulas
from lrcore.numerics.formulas import Node, Value
from lrcore.schedules._base import Schedule, StepCount, StepIndex


class WarmUpSchedule(Schedule):
    type: str
    num_warmup_steps: StepIndex

    def formula_at(self, t: Node, base_lr: float) -> Value:
        warm = self.num_warmup_steps
        return formulas.piecewise(t, [warm], [formulas.line(t, warm, 0.0, base_lr), self.after(t, base_lr)])

    def after(self, t: Node, base_lr: float) -> Value:
        """What comes after the warm-up; `t` counts from the first step of all."""
        raise NotImplementedError


class RunSchedule(WarmUpSchedule):
    num_training_steps: StepCount = Field(description="steps of the run, warm-up included")

    @property
    def horizon(self) -> int | None:
        return self.num_training_steps if self._has_decay else None

    @property
    def _decay_steps(self) -> int:
        """Steps after the warm-up; 1 if there are none, as in transformers."""
        return max(1, self.num_training_steps - self.num_warmup_steps)

    @property
    def _has_decay(self) -> bool:
        return self.num_training_steps > self.num_warmup_steps
