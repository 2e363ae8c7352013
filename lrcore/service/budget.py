"""A bound on the work that may be done here: on an event loop, say, where everything else would have to wait."""

from __future__ import annotations

from contextvars import ContextVar


class OverBudget(Exception):
    """The work exceeds what may be done here. No ValueError: pydantic would take it for a fault of the input."""


class Budget:
    """Work that is left, in nanoseconds of one core by `numerics.cost`. One request shares it between its threads."""

    __slots__ = ("left",)

    def __init__(self, work: float) -> None:
        self.left = work


_budget: ContextVar[Budget | None] = ContextVar("lrserve.budget", default=None)


def limit(work: float) -> None:
    """Bound the work of this task, and of the threads that it starts from now on."""
    _budget.set(Budget(work))


def spend(work: float) -> None:
    """Take work from the budget before doing it. Raises OverBudget; without a bound it never does."""
    budget = _budget.get()
    if budget is not None:
        budget.left -= work
        if budget.left < 0:
            raise OverBudget
