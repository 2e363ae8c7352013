"""Building blocks of several models. Imported inside `build` alone, because it imports torch.

Letters in shapes: n images, c channels, h height, w width, t tokens, d dimensions of a token.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """A convolution that keeps height and width, or halves them, in front of a batch normalization."""
    return nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False)


def init_he(module: nn.Module) -> None:
    """He et al.'s initialisation of convolutions, for use with `apply`."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class Residual(nn.Module):
    """Adds its input to what its layers make of it."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) to the same."""
        return x + self.layers(x)  # type: ignore[no-any-return]


class Scale(nn.Module):
    """A fixed factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        return x * self.factor

    def extra_repr(self) -> str:
        return f"{self.factor:g}"


class GlobalMax(nn.Module):
    """The largest value of each channel. AdaptiveMaxPool2d(1) with a gradient that is deterministic on a GPU."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) to (n, c)."""
        return x.amax(dim=(2, 3))


class Subsample(nn.Module):
    """The shortcut without parameters, He et al.'s option A: every stride-th pixel, and channels of zeros added."""

    def __init__(self, stride: int, added: int) -> None:
        super().__init__()
        self.stride, self.added = stride, added

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) to (n, c + added, h / stride, w / stride), rounded up."""
        before = self.added // 2
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.added - before))

    def extra_repr(self) -> str:
        return f"stride={self.stride}, added={self.added}"


def projection(inputs: int, outputs: int, stride: int) -> nn.Module:
    """The shortcut with parameters, He et al.'s option B."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(outputs))


def padding(inputs: int, outputs: int, stride: int) -> nn.Module:
    """The shortcut without parameters."""
    return Subsample(stride, outputs - inputs)


Shortcut = Callable[[int, int, int], nn.Module]


class BasicBlock(nn.Module):
    """Two convolutions, and a shortcut around them that is the identity unless the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.conv1 = conv3x3(inputs, outputs, stride)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = conv3x3(outputs, outputs)
        self.bn2 = nn.BatchNorm2d(outputs)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, outputs, h / stride, w / stride), rounded up."""
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


def residual_net(channels: int, num_classes: int, widths: list[int], blocks: int, shortcut: Shortcut) -> nn.Module:
    """A ResNet for small images: 3x3 stem, one stage of `blocks` blocks a width, average over the pixels, linear.

    Each stage but the first halves height and width.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv1=conv3x3(channels, widths[0]), bn1=nn.BatchNorm2d(widths[0]), relu=nn.ReLU()
    )
    inputs = widths[0]
    for i, width in enumerate(widths):
        stage = [BasicBlock(inputs, width, 1 if i == 0 else 2, shortcut)]
        stage += [BasicBlock(width, width, 1, shortcut) for _ in range(blocks - 1)]
        layers[f"layer{i + 1}"] = nn.Sequential(*stage)
        inputs = width
    layers |= OrderedDict(pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), fc=nn.Linear(inputs, num_classes))
    return nn.Sequential(layers).apply(init_he)


class RowReader(nn.Module):
    """A recurrent network that reads an image row by row, and a linear layer on the last layer's last state."""

    def __init__(self, rnn: nn.LSTM | nn.GRU, num_classes: int) -> None:
        super().__init__()
        self.rnn = rnn
        self.fc = nn.Linear(rnn.hidden_size * (2 if rnn.bidirectional else 1), num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """(n, c, h, w) to (n, num_classes)."""
        rows = images.transpose(1, 2).flatten(2)  # (n, h, c * w)
        _, state = self.rnn(rows)
        hidden = state[0] if isinstance(state, tuple) else state  # (layers * directions, n, hidden_size)
        last = hidden[-2:] if self.rnn.bidirectional else hidden[-1:]
        return self.fc(last.transpose(0, 1).flatten(1))  # type: ignore[no-any-return]


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(n, t, d) to the same."""
        qkv = self.qkv(x).unflatten(2, (3, self.heads, -1))  # (n, t, 3, heads, d / heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (n, heads, t, d / heads)
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=self.dropout if self.training else 0.0)
        return self.proj(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class EncoderBlock(nn.Module):
    """Attention and a two-layer perceptron, each behind a layer normalization and with a shortcut around both."""

    def __init__(self, dim: int, heads: int, mlp_ratio: float, dropout: float) -> None:
        super().__init__()
        hidden = round(dim * mlp_ratio)
        self.norm1 = nn.LayerNorm(dim)
        self.attention = Attention(dim, heads, dropout)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, dim))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(n, t, d) to the same."""
        x = x + self.dropout(self.attention(self.norm1(x)))
        return x + self.dropout(self.mlp(self.norm2(x)))  # type: ignore[no-any-return]


class PatchTransformer(nn.Module):
    """A Transformer over an image's patches.

    Args:
        patches: how many an image has.
        class_token: read the classes off a token of its own, not off the mean of the patches' tokens.
    """

    def __init__(
        self, embed: nn.Conv2d, patches: int, blocks: list[EncoderBlock], head: nn.Linear, class_token: bool
    ) -> None:
        super().__init__()
        dim = head.in_features
        self.embed = embed
        self.class_token = nn.Parameter(torch.zeros(1, 1, dim)) if class_token else None
        self.position = nn.Parameter(torch.empty(1, patches + class_token, dim))
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.LayerNorm(dim)
        self.head = head
        nn.init.trunc_normal_(self.position, std=0.02)
        self.apply(self._init)

    @staticmethod
    def _init(module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        """(n, c, h, w) to (n, num_classes)."""
        x = self.embed(images).flatten(2).transpose(1, 2)  # (n, patches, d)
        if self.class_token is not None:
            x = torch.cat((self.class_token.expand(len(x), -1, -1), x), dim=1)
        x = self.norm(self.blocks(x + self.position))
        return self.head(x.mean(dim=1) if self.class_token is None else x[:, 0])  # type: ignore[no-any-return]
