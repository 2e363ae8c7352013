"""What a curve's author may not have meant. The curve itself is never changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from lrcore.curve import Curve, CurveRequest
from lrcore.numerics.cost import SECOND, Load
from lrcore.numerics.grid import Grid
from lrcore.service import budget

MOST_JOINS = 100  # checked
MOST = 0.2 * SECOND  # to check them; and to check the end: what takes longer gives no warning


class CurveWarning(NamedTuple):
    """One doubt.

    Attributes:
        code: its stable name.
        message: what happens, with the numbers.
        step: where.
    """

    code: str
    message: str
    step: int


def warnings(request: CurveRequest, curve: Curve) -> list[CurveWarning]:
    """Doubts about a schedule in its run, for the first parameter group; none for one that follows a metric.

    jump-at-join, peak-never-reached, starts-at-zero, rises-after-end, schedule-longer-than-run and
    schedule-shorter-than-run. The last three compare the schedule's end with `request.run`.

    Raises:
        OverBudget: it is more work than may be done here.
    """
    schedule = request.schedule
    if schedule.metric_driven:
        return []
    budget.spend(cost(request))
    found = [*_start(request, curve), *_joins(request), *_peak(request, curve)]
    if schedule.horizon:
        found += _end(request, curve, schedule.horizon)
    return found


def cost(request: CurveRequest) -> float:
    """What `warnings` take at most, in nanoseconds of one core."""
    if request.schedule.metric_driven:
        return 0.0
    joins = sum(each for _, _, each in _affordable(request))
    ends = {request.run - 1, request.schedule.horizon or 0}
    return joins + sum(min(MOST, _cost_at(request, step, step)) for step in ends)


def _affordable(request: CurveRequest) -> Iterator[tuple[int, Grid, float]]:
    """The joins that are checked: the step, the steps around it, and what computing those takes at most."""
    schedule, left = request.schedule, MOST
    for join in schedule.joins[:MOST_JOINS]:
        if join >= request.run or (schedule.length or join + 1) <= join:
            continue
        first = max(0, join - 2)
        last = min(join + 1, request.run - 1, (schedule.length or join + 2) - 1)
        each = _cost_at(request, first, last)
        left -= each
        if left < 0:
            return
        yield join, Grid(first, 1, last - first + 1), each


def _cost_at(request: CurveRequest, first: int, last: int) -> float:
    return request.schedule.cost(Load(first, last, last - first + 1))


def _start(request: CurveRequest, curve: Curve) -> Iterator[CurveWarning]:
    if request.start == 0 and curve.lr[0, 0] == 0 and curve.extents[0][1] > 0:
        yield CurveWarning("starts-at-zero", "the rate of step 0 is 0: the first update changes nothing", 0)


def _joins(request: CurveRequest) -> Iterator[CurveWarning]:
    for join, around, _ in _affordable(request):
        rates = request.schedule.rates(around, request.base_lrs[0]).tolist()
        at = join - around.start
        jump = abs(rates[at] - rates[at - 1])
        usual = max([abs(rates[i] - rates[i - 1]) for i in range(1, len(rates)) if i != at], default=0.0)
        if jump > 2 * usual and jump > 0.01 * max(rates):
            message = f"the rate jumps from {rates[at - 1]:g} to {rates[at]:g} where one part hands over to the next"
            yield CurveWarning("jump-at-join", message, join)


def _peak(request: CurveRequest, curve: Curve) -> Iterator[CurveWarning]:
    peak = request.schedule.peak
    whole = request.start == 0 and request.stride == 1 and request.steps >= (request.schedule.length or 0)
    if peak is not None and whole and curve.extents[0][1] < peak * (1 - 1e-12):
        at = int(curve.lr[0].argmax())
        message = f"the peak of {peak:g} lies between two steps; the highest rate is {curve.extents[0][1]:g}"
        yield CurveWarning("peak-never-reached", message, at)


def _end(request: CurveRequest, curve: Curve, horizon: int) -> Iterator[CurveWarning]:
    run, schedule = request.run, request.schedule
    if any(step not in curve.t and _cost_at(request, step, step) > MOST for step in (min(run - 1, horizon), run - 1)):
        return
    if run < horizon:
        last = _rate(request, curve, run - 1)
        message = f"the schedule takes {horizon} steps, but the run has {run}: it stops at a rate of {last:g}"
        yield CurveWarning("schedule-longer-than-run", message, run - 1)
    elif run > horizon + 1 and (schedule.length or run) >= run:
        end, last = _rate(request, curve, horizon), _rate(request, curve, run - 1)
        if last > end + 1e-9 * request.base_lrs[0]:
            message = (
                f"the schedule ends at step {horizon} with a rate of {end:g}, and rises to {last:g} by step {run - 1}"
            )
            yield CurveWarning("rises-after-end", message, horizon)
        else:
            message = f"the schedule ends at step {horizon}, but the run has {run} steps: the rest is at {last:g}"
            yield CurveWarning("schedule-shorter-than-run", message, horizon)


def _rate(request: CurveRequest, curve: Curve, step: int) -> float:
    if step in curve.t:
        return float(curve.lr[0, curve.t.before(step)])
    return float(request.schedule.rates(Grid(step), request.base_lrs[0])[0])
