"""Which runs are trained side by side: those that can, where it pays and they fit.

On a GPU the runs are one stacked network: what keeps a small model slow is the number of kernels, and one kernel can
serve all runs. On a CPU that gains nothing unless the steps are tiny; but a core for each run does: threads that work
on one small operation together wait for each other more than they work.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from lrcore.jobs.training_spec import TrainingSpec
from lrcore.models import Model
from lrcore.models.torchvision import TorchvisionModel

from .footprint import footprint, made_on_meta
from .memory import free_memory
from .models.flat_optimizers import FLAT_OPTIMIZERS
from .models.stacked_layers import unsupported_layer

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


def widths(spec: TrainingSpec, device: torch.device, runs: int) -> list[int]:
    """How many runs each stacked network has: all on a GPU, or if the steps are small; else each run a thread."""
    return [runs] if device.type == "cuda" or _work_of(spec) < SMALL else [1] * runs
