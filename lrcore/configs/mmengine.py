"""mmengine: a whole configuration of a runner, or its `param_scheduler` alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from lrcore.configs._base import Found, Json, Needed, Options, Path, Run, Section, choose, section, validated, value_at
from lrcore.configs._pieces import CONSTANT, from_rate, product, scaled, sequence
from lrcore.errors import CurveError
from lrcore.family import Flag, Items, Name, Number
from lrcore.schedules._base import Count, Factor, Fraction, Index, Rate

Time = Annotated[Number, Field(ge=0, le=1e12)]
INF = 10**9  # mmengine's own


class _Scheduler(Options):
    """What every class of mmengine takes. Times are in epochs if `by_epoch`."""

    holds: ClassVar[bool] = False  # whether the rate stays where it is at the end

    type: Name
    begin: Time = 0
    end: Time = INF
    by_epoch: Flag = True
    convert_to_iter_based: Flag = False
    last_step: Literal[-1] = -1
    verbose: Flag = False

    def multiplies(self) -> bool:
        """Whether it multiplies the rate in force by a factor of the step alone."""
        return True

    def spec(self, steps: int, unit: int, rate: float) -> Json:
        """The schedule from its own step 0.

        Args:
            steps: how many of its own it has, converted if they are.
            unit: optimizer steps in each of them.
            rate: in force at its beginning.
        """
        raise NotImplementedError


class _Step(_Scheduler):
    step_size: Count
    gamma: Factor = 0.1

    def spec(self, steps: int, unit: int, rate: float) -> Json:
        return {"type": "StepLR", "step_size": self.step_size * unit, "gamma": self.gamma}


class _MultiStep(_Scheduler):
    milestones: Annotated[list[Index], Items(10_000)]
    gamma: Factor = 0.1

    def spec(self, steps: int, unit: int, rate: float) -> Json:
        return {"type": "MultiStepLR", "milestones": sorted(m * unit for m in self.milestones), "gamma": self.gamma}


class _Constant(_Scheduler):
    holds = True

    factor: Fraction = 1 / 3

    def spec(self, steps: int, unit: int, rate: float) -> Json:
        if steps >= INF:
            return scaled(CONSTANT, self.factor)
        return {"type": "ConstantLR", "factor": self.factor, "total_iters": _last(steps) * unit}


class _Exponential(_Scheduler):
    gamma: Factor

    def spec(self, steps: int, unit: int, rate: float) -> Json:
        if unit == 1:
            return {"type": "ExponentialLR", "gamma": self.gamma}
        return {"type": "StepLR", "step_size": unit, "gamma": self.gamma}


class _Linear(_Scheduler):
    holds = True

    start_factor: Annotated[Fraction, Field(gt=0)] = 1 / 3
    end_factor: Fraction = 1.0

    def spec(self, steps: int, unit: int, rate: float) -> Json:
        start, end, last = self.start_factor, self.end_factor, _last(steps)
        if unit == 1:
            return {"type": "LinearLR", "start_factor": start, "end_factor": end, "total_iters": last}
        return _held(f"{start!r} + {end - start!r} * min({{t}}, {last}) / {last}", unit)


class _Cosine(_Scheduler):
    T_max: Count | None = None
    eta_min: Rate | None = None
    eta_min_ratio: Fraction | None = None

    def multiplies(self) -> bool:
        return not (self.eta_min or self.eta_min_ratio)

    def spec(self, steps: int, unit: int, rate: float) -> Json:
        period, low = self.T_max or steps, self.eta_min or 0.0
        if unit == 1:
            return {"type": "CosineAnnealingLR", "T_max": period} | ({"eta_min": low} if low else {})
        least = low / rate if rate else 0.0
        return _held(f"{least!r} + {1 - least!r} * (1 + cos(pi * {{t}} / {period})) / 2", unit)


class _Poly(_Scheduler):
    holds = True

    eta_min: Rate = 0.0
    power: Factor = 1.0

    def multiplies(self) -> bool:
        return not self.eta_min

    def spec(self, steps: int, unit: int, rate: float) -> Json:
        last = _last(steps)
        if unit == 1:
            low = {"lr_min": self.eta_min} if self.eta_min else {}
            return {"type": "PolyLRScheduler", "t_initial": last, "power": self.power} | low
        least = self.eta_min / rate if rate else 0.0
        return _held(f"{least!r} + {1 - least!r} * (1 - min({{t}}, {last}) / {last}) ** {self.power!r}", unit)


class _OneCycle(_Scheduler):
    eta_max: Rate
    total_steps: Count | None = None
    pct_start: Fraction = 0.3
    anneal_strategy: Literal["cos", "linear"] = "cos"
    div_factor: Factor = 25.0
    final_div_factor: Factor = 1e4
    three_phase: Flag = False

    def multiplies(self) -> bool:
        return False

    def spec(self, steps: int, unit: int, rate: float) -> Json:
        if unit != 1:
            raise CurveError(("by_epoch",), "a cycle by epochs beside steps is not read: set convert_to_iter_based")
        names = ("pct_start", "anneal_strategy", "div_factor", "final_div_factor", "three_phase")
        run = {"max_lr": self.eta_max, "total_steps": self.total_steps or steps, "cycle_momentum": False}
        return {"type": "OneCycleLR"} | run | {name: getattr(self, name) for name in names}


CLASSES: dict[str, type[_Scheduler]] = {
    "ConstantLR": _Constant,
    "CosineAnnealingLR": _Cosine,
    "ExponentialLR": _Exponential,
    "LinearLR": _Linear,
    "MultiStepLR": _MultiStep,
    "OneCycleLR": _OneCycle,
    "PolyLR": _Poly,
    "StepLR": _Step,
}
NEEDS_END = (_Linear, _Poly, _Cosine, _OneCycle)


class _TrainCfg(Section):
    max_epochs: Count | None = None
    max_iters: Count | None = None


def fits(config: Any) -> bool:
    """Whether this looks like mmengine's."""
    if isinstance(config, dict) and "param_scheduler" in config:
        return True
    first = config[0] if isinstance(config, list) and config else None
    return isinstance(first, dict) and "type" in first


def read(config: Any, run: Run) -> Found:
    """Read `param_scheduler`, the rate of `optim_wrapper` and the length in `train_cfg`."""
    whole = isinstance(config, dict) and "type" not in config
    path: Path = ("param_scheduler",) if whole else ()
    given = config.get("param_scheduler") if whole else config
    if whole:
        run.left_out(config.keys() - {"param_scheduler", "optim_wrapper", "train_cfg"})
    entries = given if isinstance(given, list) else [given]
    schedulers = [
        (each, (*path, i) if isinstance(given, list) else path)
        for i, entry in enumerate(entries)
        if (each := _scheduler(entry, (*path, i) if isinstance(given, list) else path, run)) is not None
    ]
    if not schedulers:
        raise CurveError(path, "there is no scheduler of the learning rate")
    wrapper = section(config, "optim_wrapper") if whole else {}
    lr = section(wrapper, "optimizer", ("optim_wrapper",)).get("lr")
    rate = run.rate(None if lr is None else validated(_Optimizer, {"lr": lr}, ("optim_wrapper", "optimizer")).lr)
    train = validated(_TrainCfg, section(config, "train_cfg"), ("train_cfg",)) if whole else _TrainCfg()
    by_epoch = all(each.by_epoch and not each.convert_to_iter_based for each, _ in schedulers)
    length = _Length(run, train, by_epoch)
    pieces = [_piece(each, where, length) for each, where in schedulers]
    if by_epoch:
        run.note("one step is one epoch")
    ends = max(piece.end for piece in pieces)
    steps = length.known or (ends if ends < INF else None)
    return Found(_joined(pieces, rate, length.known), rate, steps, "epoch" if by_epoch else "step")


class _Optimizer(Options):
    lr: Rate


def _scheduler(entry: Any, path: Path, run: Run) -> _Scheduler | None:
    """One scheduler; None if it is of something else than the learning rate."""
    if not isinstance(entry, dict):
        raise CurveError(path, "Input should be a valid object")
    name = entry.get("type")
    name = name.rpartition(".")[2] if isinstance(name, str) else name
    if isinstance(name, str) and (name.endswith("Momentum") or entry.get("param_name", "lr") != "lr"):
        run.note(f"left out: {name[:80]}, which is not about the learning rate")
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

    def __init__(self, run: Run, train: _TrainCfg, by_epoch: bool) -> None:
        self._run, self._train, self._by_epoch = run, train, by_epoch

    @property
    def known(self) -> int | None:
        """Steps of the answer."""
        run, train = self._run, self._train
        if self._by_epoch:
            if run.total_steps is not None:
                return run.total_steps // (run.steps_per_epoch or 1) or 1
            return train.max_epochs
        if run.total_steps is not None or train.max_iters is not None:
            return run.total_steps or train.max_iters
        if train.max_epochs is not None and run.steps_per_epoch is not None:
            return train.max_epochs * run.steps_per_epoch
        return None

    def epoch(self) -> int:
        """Steps per epoch. Raises Needed."""
        return self._run.epoch()

    def end(self, by_epoch: bool, needed: bool) -> float:
        """Where a scheduler without `end` ends, in its own unit. Raises Needed."""
        if by_epoch and not self._by_epoch and self._train.max_epochs is not None:
            return self._train.max_epochs
        if self.known is not None:
            return self.known / self.epoch() if by_epoch and not self._by_epoch else self.known
        if needed:
            raise Needed(("total_steps",), "a scheduler without end takes that of the run: give total_steps")
        return INF


@dataclass(frozen=True)
class _Piece:
    """A scheduler and its steps in the answer; `unit` of them are one of its own."""

    scheduler: _Scheduler
    path: Path
    begin: int
    end: int
    unit: int

    def spec(self, rate: float) -> Json:
        """Its schedule from its own step 0, at the rate in force there."""
        own = self.end - self.begin if self.end < INF else INF
        return self.scheduler.spec(own // self.unit if own < INF else INF, self.unit, rate)


def _piece(scheduler: _Scheduler, path: Path, length: _Length) -> _Piece:
    epochs = scheduler.by_epoch and not length._by_epoch
    factor = length.epoch() if epochs else 1
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


def _converted(scheduler: _Scheduler, factor: int) -> _Scheduler:
    """Times in epochs as times in steps."""
    match scheduler:
        case _Step():
            return scheduler.model_copy(update={"step_size": scheduler.step_size * factor})
        case _MultiStep():
            return scheduler.model_copy(update={"milestones": [m * factor for m in scheduler.milestones]})
        case _Cosine() if scheduler.T_max:
            return scheduler.model_copy(update={"T_max": scheduler.T_max * factor})
        case _OneCycle() if scheduler.total_steps:
            return scheduler.model_copy(update={"total_steps": scheduler.total_steps * factor})
    return scheduler


def _joined(pieces: list[_Piece], rate: float, total: int | None) -> Json:
    """All schedulers: one after another, those whose steps overlap multiplied."""
    parts: list[tuple[Json, int | None]] = []
    now, at = rate, 0
    clusters = _clusters(pieces)
    for cluster in clusters:
        begin, end = cluster[0].begin, max(piece.end for piece in cluster)
        if begin > at:
            parts.append((from_rate(now, CONSTANT) if now != rate else CONSTANT, begin - at))
        schedule = _cluster(cluster, begin, end, now, rate)
        parts.append((from_rate(now, schedule) if now != rate else schedule, end - begin))
        if end >= min(INF, total or INF) or (cluster is clusters[-1] and all(each.scheduler.holds for each in cluster)):
            break
        now, at = value_at(schedule, now, end - begin - 1), end
    else:
        parts.append((from_rate(now, CONSTANT), None))
    return sequence(parts)


def _clusters(pieces: list[_Piece]) -> list[list[_Piece]]:
    found: list[list[_Piece]] = []
    end = 0
    for piece in sorted(pieces, key=lambda piece: piece.begin):
        if found and piece.begin < end:
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
    if not isinstance(scheduler, _Cosine):
        return piece
    if scheduler.eta_min_ratio is not None:
        if scheduler.eta_min is not None:
            raise CurveError((*piece.path, "eta_min_ratio"), "give either eta_min or eta_min_ratio")
        scheduler = scheduler.model_copy(update={"eta_min": base * scheduler.eta_min_ratio})
    steps = (piece.end - piece.begin) // piece.unit
    if now != base and scheduler.T_max and steps > scheduler.T_max + 1:
        raise CurveError((*piece.path, "T_max"), "a cosine that turns after another scheduler is not read: set end")
    return replace(piece, scheduler=scheduler)


def _last(steps: int) -> int:
    """The last of so many steps, at which a scheduler of mmengine reaches its end. Raises CurveError."""
    if steps < 2:
        raise CurveError(("end",), "a scheduler of a single step has no end: set convert_to_iter_based, or end")
    return steps - 1


def _held(expression: str, unit: int) -> Json:
    """A factor of the epoch, as a function of the step."""
    return {"type": "LambdaLR", "lr_lambda": expression.format(t=f"(epoch // {unit})")}
