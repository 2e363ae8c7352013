"""Several runs at once, each the same as if it were trained alone.

On a GPU the runs are one stacked network: what keeps a small model slow is the number of kernels, and one kernel can
serve all runs. On a CPU that gains nothing unless the steps are tiny; but a core for each run does: threads that work
on one small operation together wait for each other more than they work.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from lrcore.errors import SpecError
from lrcore.jobs.job import Best, Epoch
from lrcore.jobs.training_spec import TrainingSpec
from lrcore.models import Model
from lrcore.models.torchvision import TorchvisionModel

from .data import DTYPES, load
from .flat_optimizers import FLAT_OPTIMIZERS
from .footprint import OutOfMemory, footprint, made_on_meta
from .group_trainer import GroupMember, GroupTrainer, Outcome
from .memory import free_memory
from .record import Diverged
from .stacked_layers import unsupported_layer
from .trainer import Hooks, Interrupted, pick_device, torch_state, train

SMALL = 3e6  # multiplications of a forward pass over a batch below which a CPU is kept busy by calls, not by them
BUSY = 4e7  # the same above which Python's lock holds up threads with a run each less than they gain
REUSED = 500  # multiplications a parameter, above which steps of threads gain more than the optimizer's copies cost
LARGE = 2e9  # the same above which one run alone is taken to keep a GPU busy
MOST = 64  # runs at once: each has hooks to call at every step
ROOM = 4  # times what a run takes at least: a stacked network has its numbers for each parameter, and copies of these
SHARED = (  # what runs must have in common to train together
    *("model", "dataset", "batch_size", "drop_last", "micro_batch_size", "eval_batch_size", "epochs", "interval"),
    *("precision", "label_smoothing", "ema_decay", "deterministic"),
)


def incompatibility(specs: Sequence[TrainingSpec]) -> str | None:
    """Why the runs cannot train together, in a sentence for users; None if they can."""
    if not specs:
        return "there are no runs"
    first = specs[0]
    for field in SHARED:
        if any(getattr(spec, field) != getattr(first, field) for spec in specs):
            return f"the runs differ in {field}"
    if any(type(spec.optimizer) is not type(first.optimizer) for spec in specs):
        return "the runs differ in the type of their optimizer"
    if type(first.optimizer) not in FLAT_OPTIMIZERS:
        known = ", ".join(cls.name() for cls in FLAT_OPTIMIZERS)
        return f"runs with {first.optimizer.type} train one after another; together can {known}"
    for flag in FLAT_OPTIMIZERS[type(first.optimizer)][1]:
        if any(getattr(spec.optimizer, flag) != getattr(first.optimizer, flag) for spec in specs):
            return f"the runs differ in optimizer.{flag}"
    return _incompatible_model(first.model, first.dataset.image_shape, first.dataset.num_classes)


@functools.lru_cache(maxsize=64)
def _incompatible_model(model: Model, image_shape: tuple[int, int, int], num_classes: int) -> str | None:
    if isinstance(model, TorchvisionModel):
        return f"runs of {model.type} train one after another"
    part = unsupported_layer(made_on_meta(model, image_shape, num_classes))
    return part and f"runs of {model.type} train one after another: there is no {part} for several runs"


class Cost(NamedTuple):
    """What a forward pass over one image takes.

    Attributes:
        work: multiplications.
        parameters: the model's.
    """

    work: int
    parameters: int


@functools.lru_cache(maxsize=64)
def _cost(model: Model, image_shape: tuple[int, int, int], num_classes: int) -> Cost:
    built = made_on_meta(model, image_shape, num_classes).eval()
    with FlopCounterMode(display=False) as counter:
        built(torch.empty(1, *image_shape, device="meta"))
    parameters = sum(parameter.numel() for parameter in built.parameters())
    return Cost(int(counter.get_total_flops()) // 2, parameters)


def _work_of(spec: TrainingSpec) -> int:
    """Multiplications of a step's forward pass."""
    return _cost_of(spec).work * spec.batch_size


def _cost_of(spec: TrainingSpec) -> Cost:
    return _cost(spec.model, spec.dataset.image_shape, spec.dataset.num_classes)


def max_group_size(spec: TrainingSpec, device: torch.device) -> int:
    """How many runs like this one fit into half of what memory is free, by a generous estimate."""
    each = footprint(spec, spec.eval_batch_size)
    return 1 if each is None else max(1, min(MOST, free_memory(device) // 2 // (ROOM * each.total)))


def is_faster(specs: Sequence[TrainingSpec], device: torch.device) -> bool:
    """Whether runs that can train together are done sooner so than one after another."""
    if len(specs) < 2:
        return False
    if device.type == "cuda":
        return _work_of(specs[0]) < LARGE
    work, parameters = _work_of(specs[0]), _cost_of(specs[0]).parameters
    return work < SMALL or (work >= max(BUSY, REUSED * parameters) and torch.get_num_threads() > 1)


def train_many(
    specs: Sequence[TrainingSpec],
    *,
    data_root: Path,
    device: torch.device | None = None,
    hooks: Sequence[Hooks] | None = None,
    folder: Path | None = None,
    memory: int | None = None,
) -> list[Outcome]:
    """Train any runs, together where they can, it pays and they fit, else one after another.

    Args:
        folder: takes a folder for each group of runs, named by the place of its first run in specs.
        hooks, device, data_root, memory: as for `train_together`.

    Returns what became of each run, as `train_together` does; its Result says with how many it trained.

    Raises:
        DataUnavailable: a data set, or pretrained weights, cannot be loaded.
    """
    outcomes: dict[int, Outcome] = {}
    for group, found in train_in_turn(
        specs, data_root=data_root, device=device, hooks=hooks, folder=folder, memory=memory
    ):
        outcomes |= zip(group, found, strict=True)
    return [outcomes[i] for i in range(len(specs))]


def train_in_turn(
    specs: Sequence[TrainingSpec],
    *,
    data_root: Path,
    device: torch.device | None = None,
    hooks: Sequence[Hooks] | None = None,
    folder: Path | None = None,
    memory: int | None = None,
    rungs: Sequence[int] = (),
) -> Iterator[tuple[list[int], list[Outcome]]]:
    """What `train_many` does, a group of runs at a time: the weights of them all might not fit into memory.

    Args:
        rungs: finished epochs, rising, after which a run that trains alone yields to the others until all such runs
            have come as far and can be compared there. It resumes from its checkpoint, so `folder` is required.

    Yields the places of a group's runs in specs, and what became of each.
    """
    device, hooks = device or pick_device(), hooks or [Hooks()] * len(specs)

    def trained(group: list[int], rung: int | None) -> list[Outcome]:
        first, theirs = group[0], [hooks[i] for i in group]
        place = folder and folder / str(first)
        if all(hook.stop() for hook in theirs):  # not worth a beginning
            return [Interrupted() for _ in group]
        if len(group) > 1:
            chosen = [specs[i] for i in group]
            return train_together(chosen, data_root=data_root, device=device, hooks=theirs, folder=place, memory=memory)
        way = theirs[0] if rung is None else _up_to(rung, theirs[0])
        return [_alone(specs[first], why_alone(first, specs, device), data_root, device, way, place, memory)]

    found = groups(specs, device)
    for rung in (*rungs, None):
        later = []
        for group in found:
            outcomes, alone = trained(group, rung), len(group) == 1
            if alone and rung is not None and isinstance(outcomes[0], Interrupted) and not hooks[group[0]].stop():
                later.append(group)
            else:
                yield group, outcomes
            del outcomes  # with the runs' weights
        found = later


def _up_to(epochs: int, hooks: Hooks) -> Hooks:
    """Hooks of a run that is to stop after so many epochs, as well as when it is asked to."""
    done = 0

    def epoch(report: Epoch, best: Best) -> None:
        nonlocal done
        done = report.epoch + 1
        hooks.epoch(report, best)

    return replace(hooks, epoch=epoch, stop=lambda: hooks.stop() or done >= epochs)


def groups(specs: Sequence[TrainingSpec], device: torch.device) -> list[list[int]]:
    """Places of runs that train together, as they can, it pays and they fit, and of each that trains alone."""
    alike: list[list[int]] = []
    for i, spec in enumerate(specs):
        group = next((group for group in alike if incompatibility([specs[group[0]], spec]) is None), None)
        if group is None:
            alike.append([i])
        else:
            group.append(i)
    found: list[list[int]] = []
    for group in alike:
        fits = max_group_size(specs[group[0]], device) if is_faster([specs[i] for i in group], device) else 1
        found += [group[begin : begin + fits] for begin in range(0, len(group), fits)]
    return found


def why_alone(place: int, specs: Sequence[TrainingSpec], device: torch.device) -> str | None:
    """Why one of several runs trains alone, in a sentence for users; None if it is the only one."""
    others = [spec for i, spec in enumerate(specs) if i != place]
    if not others:
        return None
    reasons = [incompatibility([other, specs[place]]) for other in others]
    if all(reasons):
        return reasons[0]
    if not is_faster(specs, device):
        cores = torch.get_num_threads()
        where = "a GPU" if device.type == "cuda" else f"{cores} core{'s' * (cores > 1)}"
        return f"on {where}, runs of {specs[place].model.type} side by side would not be done sooner"
    return "there is no memory for one more"


def _alone(
    spec: TrainingSpec,
    why: str | None,
    root: Path,
    device: torch.device,
    hooks: Hooks,
    folder: Path | None,
    memory: int | None,
) -> Outcome:
    try:
        done = train(spec, data_root=root, device=device, hooks=hooks, folder=folder, memory=memory)
        outcome: Outcome = replace(done, alone=why)
    except Interrupted as error:
        return error
    except (Diverged, OutOfMemory, SpecError) as error:
        outcome = error
    hooks.ended(outcome)
    return outcome


def train_together(
    specs: Sequence[TrainingSpec],
    *,
    data_root: Path,
    device: torch.device | None = None,
    hooks: Sequence[Hooks] | None = None,
    folder: Path | None = None,
    memory: int | None = None,
) -> list[Outcome]:
    """Train runs side by side, from their checkpoint if there is one.

    Args:
        specs: runs for which `incompatibility` returns None.
        hooks: one for each run, all called in the caller's thread.
        folder: takes one checkpoint for all runs, and at the end a folder for each, 0, 1, ..., with its best and last
            weights. Resumed runs give the same figures as runs that were never stopped, as with `train`.
        device, data_root, memory: as for `train`.

    Returns what became of each run: its Result; Diverged; SpecError; or Interrupted. If all are asked to stop, all are
    in the checkpoint, and go on when the same specs are trained again. A run that is asked to stop while others go on
    ends for good; until the epoch's end its share of the work is still done.

    Raises:
        DataUnavailable: the data set cannot be loaded.
        ValueError: the runs cannot train together.
    """
    if reason := incompatibility(specs):
        raise ValueError(reason)
    device, first = device or pick_device(), specs[0]
    hooks = hooks or [Hooks()] * len(specs)
    with torch_state(first, device):
        try:
            with hooks[0].preparing():  # who stops one then, stops all
                data = load(first.dataset, data_root, device, DTYPES[first.precision], memory)
                members = [GroupMember(spec, hook, device) for spec, hook in zip(specs, hooks, strict=True)]
        except Interrupted:
            return [Interrupted() for _ in specs]
        trainer = GroupTrainer(members, data, device, folder, functools.partial(widths, first, device))
        try:
            return trainer.train()
        finally:  # the next runs need the memory
            if device.type == "cuda":
                del trainer, members, data
                gc.collect()
                torch.cuda.empty_cache()


def widths(spec: TrainingSpec, device: torch.device, runs: int) -> list[int]:
    """How many runs each stacked network has: all on a GPU, or if the steps are small; else each run a thread."""
    return [runs] if device.type == "cuda" or _work_of(spec) < SMALL else [1] * runs
