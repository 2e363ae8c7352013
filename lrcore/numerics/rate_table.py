"""Rates by the step, for whoever needs them one by one, as a training loop does."""

from __future__ import annotations

from fractions import Fraction

from lrcore.curve import table
from lrcore.errors import CurveError
from lrcore.numerics.grid import Grid
from lrcore.schedules import Schedule
from lrcore.schedules.cosine import CosineAnnealingWarmRestarts

BLOCK = 1024  # rates computed at once: most steps are a look-up in a list

# rates, and momenta if the schedule cycles them; one per parameter group
Values = tuple[list[float], list[float] | None]


class RateTable:
    """Rates and momenta of a schedule, computed a block of steps ahead.

    Args:
        schedule: any that does not follow a metric.
        bases: base rates, one per parameter group.
    """

    def __init__(self, schedule: Schedule, bases: tuple[float, ...]) -> None:
        self.schedule, self.bases = schedule, bases
        self._first = 0
        self._lr: list[list[float]] = []
        self._momentum: list[list[float]] | None = None

    def at(self, step: int) -> Values:
        """Return the values at one step. Raises CurveError if the schedule has none."""
        if not self._first <= step < self._first + len(self._lr):
            self._compute(step)
        row = step - self._first
        return self._lr[row], None if self._momentum is None else self._momentum[row]

    def _compute(self, step: int) -> None:
        length = self.schedule.length
        if length is not None and step >= length:
            message = f"the schedule ends after {length} steps: make it longer, or stop calling step()"
            raise CurveError(("schedule",), message)
        count = BLOCK if length is None else min(BLOCK, length - step)
        while True:
            try:
                curve = table(self.schedule, self.bases, Grid(step, 1, count))
                break
            except CurveError:  # the step without a rate may never be used
                if count == 1:
                    raise
                count //= 2
        self._first, self._lr = step, curve.lr.T.tolist()
        self._momentum = None if curve.momentum is None else curve.momentum.T.tolist()


def rates_between(
    schedule: CosineAnnealingWarmRestarts, bases: tuple[float, ...], step: int, fraction: float
) -> list[float]:
    """Return the rates of warm restarts between two steps, which are those at a step of the same curve, stretched.

    Args:
        bases: base rates, one per parameter group.
        step: the step before.
        fraction: of a step, in [0, 1).
    """
    share = Fraction(fraction).limit_denominator(1_000_000)  # i batches of n
    many = share.denominator
    stretched = {"T_0": schedule.T_0 * many, "last_epoch": (schedule.last_epoch + 1) * many - 1}
    curve = table(schedule.model_copy(update=stretched), bases, Grid(step * many + share.numerator, 1, 1))
    return [float(lr) for lr in curve.lr[:, 0]]
