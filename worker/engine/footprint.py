"""How much memory a run takes, found out before it takes any.

The model is made without its parameters, on torch's device `meta`, and a batch passes through it there: shapes are
computed, numbers are not. What autograd would keep for the backward pass is counted on the way.

Every figure is a lower bound: room to work in, the allocator's rounding and what a device's library keeps for itself
come on top. So a run that is refused does not fit, and one that is not refused may still be too large.
"""

from __future__ import annotations

import functools
import importlib
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lrcore.errors import LrcoreError
from lrcore.jobs.training_spec import TrainingSpec
from lrcore.models import Model

from .data import DTYPES
from .memory import free_memory, give_back, in_units
from .optim import freeze, parameter_groups

log = logging.getLogger("lrserve.engine")

MEASURED_SECONDS = 10.0  # of a processor, after which a model is not measured: twenty times what the slowest one takes
META = torch.device("meta")


class OutOfMemory(LrcoreError):
    """The run needs more memory than its device has."""


@dataclass(frozen=True)
class Footprint:
    """What a run takes of its device at least, in bytes.

    Attributes:
        parameters: with the model's buffers.
        gradients: of what is trained.
        optimizer: its state.
        average: the averaged weights, with ema_decay.
        best: the weights of the best epoch.
        activations: what a batch, or a piece of it, keeps for the backward pass.
        evaluation: input and output of the largest layer in a test pass.
        steps: whether there are several, so that the optimizer's state is there in a forward pass.
        epochs: the same of epochs and the best weights.
        pieces: the same of a batch's pieces and the gradients.
    """

    parameters: int
    gradients: int
    optimizer: int
    average: int
    best: int
    activations: int
    evaluation: int
    steps: bool
    epochs: bool
    pieces: bool

    @property
    def total(self) -> int:
        """What is there at once, when it is most: in a forward pass, or after the last step of an epoch."""
        stays = self.parameters + self.average
        forward = stays + self.activations + self.gradients * self.pieces
        forward += self.optimizer * self.steps + self.best * self.epochs
        after = stays + self.gradients + self.optimizer
        after += self.best + self.evaluation if self.epochs else max(self.best, self.evaluation)
        return max(forward, after)

    def __str__(self) -> str:
        parts = {
            "parameters": self.parameters,
            "gradients": self.gradients,
            "optimizer state": self.optimizer,
            "averaged weights": self.average,
            "best weights": self.best,
            "activations of a batch": self.activations,
            "the largest layer of a test pass": self.evaluation,
        }
        return ", ".join(f"{name} {in_units(size)}" for name, size in parts.items() if size)


def footprint(spec: TrainingSpec, tested: int) -> Footprint | None:
    """What the run takes at least; None if that cannot be found out.

    Args:
        tested: images of a test pass at once; 0 if nothing is evaluated, as in a range test.
    """
    try:
        return _footprint(spec, tested)
    except Exception as error:  # a model may need numbers; and if it does not fit the spec, its making says that better
        log.debug("the memory of %s cannot be estimated: %s", spec.model.type, error)
        return None


def _footprint(spec: TrainingSpec, tested: int) -> Footprint:
    whole = min(spec.batch_size, spec.dataset.train_size)
    piece = min(whole, spec.micro_batch_size or whole)
    layers = _measured(spec.model, spec.dataset.image_shape, spec.dataset.num_classes, spec.precision, piece)
    trained = [parameter for parameter in layers.model.parameters() if parameter.requires_grad]
    weights = sum(map(_size, (*layers.model.parameters(), *layers.model.buffers())))
    return Footprint(
        parameters=weights,
        gradients=sum(map(_size, trained)),
        optimizer=_optimizer_state(spec, layers.model, trained),
        average=weights if spec.ema_decay else 0,
        best=weights if tested else 0,
        activations=layers.activations,
        evaluation=math.ceil(layers.largest * tested / piece),
        steps=spec.steps > 1,
        epochs=spec.epochs > 1,
        pieces=piece < whole,
    )


def check_fits(spec: TrainingSpec, tested: int, device: torch.device) -> None:
    """Refuse a run that the device has no memory for, before any of it is taken.

    A run whose memory cannot be estimated is not refused.

    Args:
        tested: as of `footprint`.

    Raises:
        OutOfMemory: it needs more than is free.
    """
    needed = footprint(spec, tested)
    if needed is None:
        return
    _check(needed.total, str(needed), device)
    if device.type != "cpu":  # there the model is made first
        _check(needed.parameters, f"parameters {in_units(needed.parameters)}", torch.device("cpu"))


def _check(needed: int, parts: str, device: torch.device) -> None:
    if needed <= free_memory(device):
        return
    give_back(device)
    free = free_memory(device)
    if needed > free:
        where = "GPU" if device.type == "cuda" else "machine"
        raise OutOfMemory(
            f"the job needs at least {in_units(needed)} of memory, and the {where} has {in_units(free)} free: {parts}. "
            "A smaller model would need less, or a smaller batch_size, micro_batch_size or eval_batch_size"
        )


@dataclass(frozen=True)
class Layers:
    """A model without numbers, and what a forward pass over a piece of a batch takes.

    Attributes:
        activations: bytes kept for the backward pass.
        largest: bytes of input and output of the largest layer.
    """

    model: nn.Module
    activations: int
    largest: int


def made_on_meta(model: Model, image_shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """Make the model without memory for its parameters, and without a draw from torch's generators."""
    with torch.random.fork_rng(devices=[]), _EmptyOnMeta():
        built = model.model_copy(update={"weights": None} if hasattr(model, "weights") else {}).build(
            image_shape, num_classes
        )
    return built.to(META)


@functools.lru_cache(maxsize=64)
def _measured(model: Model, image_shape: tuple[int, int, int], num_classes: int, precision: str, piece: int) -> Layers:
    # what torch imports when something is first computed on `meta`; a second of a worker's start, and not the model's
    importlib.import_module("torch.fx.experimental.symbolic_shapes")
    built = made_on_meta(model, image_shape, num_classes).to(DTYPES[precision]).train()
    freeze(built, model.freeze)
    own = {_storage(tensor) for tensor in (*built.parameters(), *built.buffers())}
    kept: dict[int, Tensor] = {}  # by their memory, which the tensors keep from being given to others
    largest, deadline = 0, time.thread_time() + MEASURED_SECONDS

    def keep(tensor: Tensor) -> Tensor:
        if _storage(tensor) not in own:
            kept.setdefault(_storage(tensor), tensor)
        return tensor

    def look(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal largest
        if time.thread_time() > deadline:
            raise TimeoutError(f"the model takes more than {MEASURED_SECONDS:g} s of a processor to measure")
        if isinstance(output, Tensor) and not any(module.children()):
            tensors = {_storage(t): t for t in (*inputs, output) if isinstance(t, Tensor)}
            largest = max(largest, sum(map(_size, tensors.values())))

    hooks = [module.register_forward_hook(look) for module in built.modules()]
    images = torch.empty(piece, *image_shape, dtype=DTYPES[precision], device=META)
    labels = torch.empty(piece, dtype=torch.int64, device=META)
    with torch.random.fork_rng(devices=[]), _Fused(), torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        F.cross_entropy(built(images), labels)
    for hook in hooks:
        hook.remove()
    share = 2 if precision == "bfloat16" else 1  # of the values' size, at least
    activations = sum(t.untyped_storage().nbytes() // (share if t.is_floating_point() else 1) for t in kept.values())
    return Layers(built, activations, largest // share)


def _optimizer_state(spec: TrainingSpec, model: nn.Module, trained: list[nn.Parameter]) -> int:
    """Bytes of what the optimizers keep after a step."""
    optimizers = spec.optimizer.build(parameter_groups(model, spec.optimizer))
    for parameter in trained:
        parameter.grad = torch.empty_like(parameter)
    for optimizer in optimizers:
        step = type(optimizer).step
        getattr(step, "__wrapped__", step)(optimizer)  # without the hooks of whoever looks at real steps
    for parameter in trained:
        parameter.grad = None
    states = (state for optimizer in optimizers for state in optimizer.state.values())
    return sum(_size(value) for state in states for value in state.values() if isinstance(value, Tensor))


class _EmptyOnMeta(TorchFunctionMode):
    """Makes what torch.empty makes, a layer's parameters, on `meta`. A model may compute with all else it makes."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return func(*args, **((kwargs or {}) | ({"device": META} if func is torch.empty else {})))


class _Fused(TorchFunctionMode):
    """Attention and recurrent layers as devices compute them: `meta` takes them apart into what none of them keeps."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.scaled_dot_product_attention:
            return _Attention.apply(*args[:3])  # type: ignore[no-untyped-call]
        if func in (torch.lstm, torch.gru):
            images, state, weights, _, layers, _, _, bidirectional, _ = args
            hidden, *cell = _Recurrent.apply(images, layers, 1 + bidirectional, *weights)  # type: ignore[no-untyped-call]
            return (hidden, *cell) if isinstance(state, tuple) else (hidden, cell[0])
        return func(*args, **(kwargs or {}))


class _Recurrent(torch.autograd.Function):
    """Recurrent layers that keep the values of their gates. From (n, t, features) to (n, t, d) and two last states."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, layers: int, directions: int, *weights: Tensor) -> tuple[Tensor, ...]:
        n, steps, (gates, size) = len(images), images.shape[1], weights[1].shape
        ctx.save_for_backward(images, images.new_empty((layers * directions, n, steps, gates)))
        state = images.new_empty((layers * directions, n, size))
        return images.new_empty((n, steps, directions * size)), state, images.new_empty(state.shape)


class _Attention(torch.autograd.Function):
    """Attention that keeps its query, key, value and output."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        *first, heads, tokens, _ = query.shape
        out = query.new_empty((*first, tokens, heads, value.shape[-1])).transpose(-3, -2)  # so it lies in memory
        ctx.save_for_backward(query, key, value, out)
        return out


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
