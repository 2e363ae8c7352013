"""One stacked network in place of several of one kind: their channels side by side, each run's apart from the others'.

A stacked module has the parameters and buffers of its modules under the same names, stacked along a first dimension of
runs. Images and feature maps have the runs' channels beside each other, so that a convolution in groups, a batch
normalization over all channels and a pooling are one operation for all runs; behind Flatten or GlobalMax the runs are
a dimension of their own, and a linear layer is a batched product of matrices.

Letters in shapes: r runs, n images, c channels of one run, h height, w width, f features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrcore.models._layers import BasicBlock, GlobalMax, Residual, Scale, Subsample

from .base import copied

Modules = Sequence[Any]  # the same module of each run


def memory_order(tensor: Tensor) -> Tensor:
    """A stacked parameter with its dimensions as they lie in memory: convolutions are in channels_last."""
    return tensor.permute(0, 1, 3, 4, 2) if tensor.ndim == 5 else tensor


def model_order(tensor: Tensor) -> Tensor:
    """What memory_order does, undone."""
    return tensor.permute(0, 1, 4, 2, 3) if tensor.ndim == 5 else tensor


def stacked(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors of one shape as one, the runs first, in memory as memory_order has it."""
    return model_order(memory_order(torch.stack([tensor.detach() for tensor in tensors])).contiguous())


class _Stacked(nn.Module):
    """A layer of all runs, with their parameters and buffers stacked."""

    def __init__(self, layers: Modules) -> None:
        super().__init__()
        self.runs = len(layers)
        for name, parameter in layers[0].named_parameters(recurse=False):
            values = stacked([getattr(layer, name) for layer in layers])
            self.register_parameter(name, nn.Parameter(values, requires_grad=parameter.requires_grad))
        for name, _ in layers[0].named_buffers(recurse=False):
            self.register_buffer(name, stacked([getattr(layer, name) for layer in layers]))
        for name in ("weight", "bias"):
            if not hasattr(self, name):
                setattr(self, name, None)

    weight: Tensor
    bias: Tensor | None

    def flat(self, name: str) -> Tensor | None:
        """A parameter or buffer of one number a channel, (r * c,)."""
        tensor = getattr(self, name)
        return None if tensor is None else tensor.flatten(0, 1)


class Conv2d(_Stacked):
    """A group for each run; several if its own convolution has groups."""

    def __init__(self, layers: Modules) -> None:
        super().__init__(layers)
        like = layers[0]
        self.geometry = like.stride, like.padding, like.dilation, self.runs * like.groups

    def forward(self, x: Tensor) -> Tensor:
        """(n, r * c, h, w) to the same with other c, h and w."""
        return F.conv2d(x, self.weight.flatten(0, 1), self.flat("bias"), *self.geometry)


class BatchNorm2d(_Stacked):
    """Channels are normalized one by one: those of all runs together, each with its own running figures."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, layers: Modules) -> None:
        super().__init__(layers)
        self.momentum, self.eps = layers[0].momentum, layers[0].eps

    def forward(self, x: Tensor) -> Tensor:
        """(n, r * c, h, w) to the same."""
        if self.training:
            self.num_batches_tracked.add_(1)
        mean, var = self.running_mean.view(-1), self.running_var.view(-1)
        weight, bias = self.flat("weight"), self.flat("bias")
        return F.batch_norm(x, mean, var, weight, bias, self.training, self.momentum, self.eps)


class Linear(_Stacked):
    """A product of matrices for each run."""

    def forward(self, x: Tensor) -> Tensor:
        """(r, n, f) to the same with another f."""
        if self.runs == 1:  # a product of one matrix with gradients in the weight's own layout
            return F.linear(x[0], self.weight[0], None if self.bias is None else self.bias[0])[None]
        weight = self.weight.transpose(1, 2)
        return torch.bmm(x, weight) if self.bias is None else torch.baddbmm(self.bias[:, None], x, weight)


class Flatten(_Stacked):
    """The features of each run in one row."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, r * c, h, w) to (r, n, c * h * w)."""
        return x.reshape(len(x), self.runs, -1).transpose(0, 1)


class StackedGlobalMax(_Stacked):
    """The largest value of each channel."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, r * c, h, w) to (r, n, c)."""
        return x.amax(dim=(2, 3)).view(len(x), self.runs, -1).transpose(0, 1)


class StackedSubsample(_Stacked):
    """Every stride-th pixel, and channels of zeros beside those of each run."""

    def __init__(self, layers: Modules) -> None:
        super().__init__(layers)
        self.stride, added = layers[0].stride, layers[0].added
        self.added = added // 2, added - added // 2

    def forward(self, x: Tensor) -> Tensor:
        """(n, r * c, h, w) to the same with more c, and h and w divided by the stride."""
        pixels = x[:, :, :: self.stride, :: self.stride].permute(0, 2, 3, 1)
        pixels = pixels.reshape(*pixels.shape[:3], self.runs, -1)
        return F.pad(pixels, self.added).flatten(3).permute(0, 3, 1, 2)


def _plain_conv(layer: nn.Conv2d) -> bool:
    return layer.padding_mode == "zeros"


def _plain_norm(layer: nn.BatchNorm2d) -> bool:
    return layer.track_running_stats and layer.momentum is not None


def _whole_image(layer: nn.Flatten) -> bool:
    return (layer.start_dim, layer.end_dim) == (1, -1)


STACKED: dict[type[nn.Module], tuple[Callable[[Modules], nn.Module], Callable[[Any], bool]]] = {
    nn.Conv2d: (Conv2d, _plain_conv),
    nn.BatchNorm2d: (BatchNorm2d, _plain_norm),
    nn.Linear: (Linear, lambda layer: True),
    nn.Flatten: (Flatten, _whole_image),
    GlobalMax: (StackedGlobalMax, lambda layer: True),
    Subsample: (StackedSubsample, lambda layer: True),
}
ANY_WIDTH = (nn.ReLU, nn.Identity, nn.MaxPool2d, nn.AdaptiveAvgPool2d, Scale)  # channel by channel, no parameters
CONTAINERS = (nn.Sequential, Residual, BasicBlock)  # they only pass on, or add


def unsupported_layer(model: nn.Module) -> str | None:
    """The name of a part of the model that cannot be stacked, or None."""
    for module in model.modules():
        hooked = module._forward_pre_hooks or module._forward_hooks
        known = type(module) in (*ANY_WIDTH, *CONTAINERS) or (
            type(module) in STACKED and STACKED[type(module)][1](module)
        )
        if hooked or not known:
            return type(module).__name__
    return None


def stack_modules(models: Sequence[nn.Module]) -> nn.Module:
    """Return one network for models of one kind, with copies of their parameters. It gives logits (r, n, classes)."""
    network = copied(models[0])
    for name, module in models[0].named_modules():
        if type(module) in STACKED:
            make = STACKED[type(module)][0]
            network.set_submodule(name, make([model.get_submodule(name) for model in models]))
    return network
