"""mmengine: a whole configuration of a runner, or its `param_scheduler` alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

from lrcore.configs._base import (
    Context,
    Found,
    Json,
    Needed,
    Path,
    Section,
    an_object,
    choose,
    rate_of,
    section,
    validated,
    value_at,
)
from lrcore.configs._mmengine import (
    CLASSES,
    INF,
    NEEDS_END,
    Cosine,
    CosineRestart,
    MultiStep,
    OneCycle,
    Poly,
    Scheduler,
    Step,
)
from lrcore.configs._pieces import CONSTANT, from_rate, product, scaled, sequence
from lrcore.errors import CurveError
from lrcore.schedules._base import Count

MAX_SCHEDULERS = 31


class _TrainCfg(Section):
    max_epochs: Count | None = None
    max_iters: Count | None = None


def fits(config: Any) -> bool:
    """Whether this looks like mmengine's."""
    if isinstance(config, dict) and "param_scheduler" in config:
        return True
    first = config[0] if isinstance(config, list) and config else None
    return isinstance(first, dict) and "type" in first


def read(config: Any, context: Context) -> Found:
    """Read `param_scheduler`, the rate of `optim_wrapper` and the length in `train_cfg`."""
    whole = isinstance(config, dict) and "type" not in config
    path: Path = ("param_scheduler",) if whole else ()
    given = config.get("param_scheduler") if whole else config
    if whole:
        context.left_out(config.keys() - {"param_scheduler", "optim_wrapper", "train_cfg"})
    if given is None:
        raise CurveError(path, "Field required")
    entries = given if isinstance(given, list) else [given]
    if len(entries) > MAX_SCHEDULERS:
        raise CurveError(path, f"more than {MAX_SCHEDULERS} schedulers are not supported: leave some out")
    schedulers = [
        (each, (*path, i) if isinstance(given, list) else path)
        for i, entry in enumerate(entries)
        if (each := _scheduler(entry, (*path, i) if isinstance(given, list) else path, context)) is not None
    ]
    wrapper = section(config, "optim_wrapper") if whole else {}
    path_of_optimizer = ("optim_wrapper", "optimizer")
    rate = context.rate(rate_of(section(wrapper, "optimizer", path_of_optimizer[:1]), path_of_optimizer))
    train = validated(_TrainCfg, section(config, "train_cfg"), ("train_cfg",)) if whole else _TrainCfg()
    if not schedulers:
        context.note("there is no scheduler of the learning rate: it is constant")
        return Found(CONSTANT, rate)
    by_epoch = all(each.by_epoch and not each.convert_to_iter_based for each, _ in schedulers)
    length = _Length(context, train, by_epoch)
    pieces = [_piece(each, where, length) for each, where in schedulers]
    if by_epoch:
        context.note("one step is one epoch")
    ends = max(piece.end for piece in pieces)
    steps = length.known or (ends if ends < INF else None)
    return Found(_joined(pieces, rate, length.known), rate, steps, "epoch" if by_epoch else "step")


def _scheduler(entry: Any, path: Path, context: Context) -> Scheduler | None:
    """One scheduler; None if it is of something else than the learning rate."""
    name = an_object(entry, path).get("type")
    name = name.rpartition(".")[2] if isinstance(name, str) else name
    if isinstance(name, str) and (name.endswith("Momentum") or entry.get("param_name", "lr") != "lr"):
        context.note(f"left out: {name[:80]}, which is not about the learning rate")
        return None
    name = choose(name.replace("ParamScheduler", "LR") if isinstance(name, str) else name, CLASSES, "the scheduler",
                  (*path, "type"))  # fmt: skip
    found = validated(
        CLASSES[name], {key: value for key, value in entry.items() if key not in ("_scope_", "param_name")}, path
    )
    if found.convert_to_iter_based and not found.by_epoch:
        raise CurveError((*path, "convert_to_iter_based"), "it needs by_epoch")
    return found


class _Length:
    """The length of the run, in epochs and in steps of the answer."""

    def __init__(self, context: Context, train: _TrainCfg, by_epoch: bool) -> None:
        self.context, self.train, self.by_epoch = context, train, by_epoch

    @property
    def known(self) -> int | None:
        """Steps of the answer."""
        context, train = self.context, self.train
        if self.by_epoch:
            if context.total_steps is not None:
                return context.total_steps // (context.steps_per_epoch or 1) or 1
            return train.max_epochs
        if context.total_steps is not None or train.max_iters is not None:
            return context.total_steps or train.max_iters
        if train.max_epochs is not None and context.steps_per_epoch is not None:
            return train.max_epochs * context.steps_per_epoch
        return None

    def end(self, by_epoch: bool, needed: bool) -> float:
        """Where a scheduler without `end` ends, in its own unit. Raises Needed."""
        if by_epoch and not self.by_epoch and self.train.max_epochs is not None:
            return self.train.max_epochs
        if self.known is not None:
            return self.known / self.context.epoch() if by_epoch and not self.by_epoch else self.known
        if needed:
            raise Needed(("total_steps",), "a scheduler without end takes that of the run: give total_steps")
        return INF


@dataclass(frozen=True)
class _Piece:
    """A scheduler and its steps in the answer; `unit` of them are one of its own."""

    scheduler: Scheduler
    path: Path
    begin: int
    end: int
    unit: int

    def leaves_first(self) -> bool:
        """Whether the rate at its own step 0 is the one in force, for one step, and it does not only multiply."""
        floored = isinstance(self.scheduler, Cosine | CosineRestart | Poly) and not self.scheduler.multiplies()
        return floored and self.unit == 1

    def spec(self, rate: float) -> Json:
        """Its schedule from its own step 0, at the rate in force there."""
        own = self.end - self.begin if self.end < INF else INF
        try:
            return self.scheduler.spec(own // self.unit if own < INF else INF, self.unit, rate)
        except CurveError as error:
            raise CurveError((*self.path, *error.field), str(error)) from None


def _piece(scheduler: Scheduler, path: Path, length: _Length) -> _Piece:
    epochs = scheduler.by_epoch and not length.by_epoch
    factor = length.context.epoch() if epochs else 1
    begin, end = scheduler.begin, scheduler.end
    if end >= INF:
        needed = isinstance(scheduler, NEEDS_END) and not getattr(scheduler, "T_max", None)
        end = length.end(scheduler.by_epoch, needed and not getattr(scheduler, "total_steps", None))
    if end <= begin:
        raise CurveError((*path, "end"), f"it must be more than begin ({begin:g})")
    converted = scheduler.convert_to_iter_based
    if converted:
        scheduler = _converted(scheduler, factor)
    elif begin != int(begin) or (end < INF and end != int(end)):
        raise CurveError((*path, "end"), "begin and end must be whole: set convert_to_iter_based")
    last = INF if end >= INF else int(end * factor)
    return _Piece(scheduler, path, int(begin * factor), last, 1 if converted else factor)


def _converted(scheduler: Scheduler, factor: int) -> Scheduler:
    """Times in epochs as times in steps."""
    match scheduler:
        case Step():
            return scheduler.model_copy(update={"step_size": scheduler.step_size * factor})
        case MultiStep():
            return scheduler.model_copy(update={"milestones": [m * factor for m in scheduler.milestones]})
        case Cosine() if scheduler.T_max:
            return scheduler.model_copy(update={"T_max": scheduler.T_max * factor})
        case CosineRestart():
            return scheduler.model_copy(update={"periods": [period * factor for period in scheduler.periods]})
        case OneCycle() if scheduler.total_steps:
            return scheduler.model_copy(update={"total_steps": scheduler.total_steps * factor})
    return scheduler


def _joined(pieces: list[_Piece], rate: float, total: int | None) -> Json:
    """All schedulers: one after another, those whose steps overlap multiplied."""
    parts: list[tuple[Json, int | None]] = []
    now, at = rate, 0
    clusters = _clusters(pieces)
    for cluster, then in zip_longest(clusters, clusters[1:]):
        begin, end = cluster[0].begin, max(piece.end for piece in cluster)
        if begin > at:
            parts.append((from_rate(now, CONSTANT) if now != rate else CONSTANT, begin - at))
        schedule = _cluster(cluster, begin, end, now, rate)
        stop = min(end, then[0].begin) if then else end
        parts.append((from_rate(now, schedule) if now != rate else schedule, stop - begin))
        if end >= min(INF, total or INF) or (cluster is clusters[-1] and all(each.scheduler.holds for each in cluster)):
            break
        now, at = value_at(schedule, now, min(stop, end - 1) - begin), stop
    else:
        parts.append((from_rate(now, CONSTANT), None))
    return sequence(parts)


def _clusters(pieces: list[_Piece]) -> list[list[_Piece]]:
    found: list[list[_Piece]] = []
    end = 0
    for piece in sorted(pieces, key=lambda piece: piece.begin):
        shared = 1 if piece.leaves_first() else 0  # steps with the one before that do not matter
        if found and piece.begin < end - shared:
            found[-1].append(piece)
        else:
            found.append([piece])
        end = max(end, piece.end)
    return found


def _cluster(pieces: list[_Piece], begin: int, end: int, now: float, base: float) -> Json:
    """Schedulers whose steps overlap, from the rate in force."""
    first = pieces[0]
    if len(pieces) == 1:
        return _absolute(first, now, base).spec(now)
    factors = []
    for piece in pieces:
        if not piece.scheduler.multiplies():
            message = "its steps overlap those of another one, which does not only multiply the rate: separate them"
            raise CurveError((*piece.path, "begin"), message)
        schedule = piece.spec(1.0)
        parts: list[tuple[Json, int | None]] = [(CONSTANT, piece.begin - begin)]
        if piece.end < end and not piece.scheduler.holds:
            own = piece.end - piece.begin
            parts += [(schedule, own), (scaled(CONSTANT, value_at(schedule, 1.0, own - 1)), None)]
        else:
            parts.append((schedule, None))
        factors.append(sequence(parts))
    return product(factors)


def _absolute(piece: _Piece, now: float, base: float) -> _Piece:
    """A piece whose floor is a rate, not a fraction of the base rate. Raises CurveError past the turn of a cosine."""
    scheduler = piece.scheduler
    if not isinstance(scheduler, Cosine | CosineRestart):
        return piece
    if scheduler.eta_min_ratio is not None:
        if scheduler.eta_min is not None:
            raise CurveError((*piece.path, "eta_min_ratio"), "give either eta_min or eta_min_ratio")
        scheduler = scheduler.model_copy(update={"eta_min": base * scheduler.eta_min_ratio})
    if isinstance(scheduler, CosineRestart):
        if not math.isclose(now, base, rel_tol=1e-9):
            raise CurveError((*piece.path, "begin"), "the schedulers before must end at the optimizer's rate")
        return replace(piece, scheduler=scheduler)
    steps = (piece.end - piece.begin) // piece.unit
    if now != base and scheduler.T_max and steps > scheduler.T_max + 1:
        raise CurveError(
            (*piece.path, "T_max"), "a cosine past its turn is not supported after another scheduler: set end"
        )
    return replace(piece, scheduler=scheduler)
