"""The classification models of torchvision, new or with weights from ImageNet and a new last layer.

Their parameter counts and accuracies on ImageNet: https://docs.pytorch.org/vision/stable/models.html. Weights are
downloaded into TORCH_HOME when they are first used, and have licences of their own: those named SWAG are under CC BY-NC
4.0. They expect pixels normalized by mean [0.485, 0.456, 0.406] and std [0.229, 0.224, 0.225].

Made for images of about 224x224: most halve them five times, so that little is left of 32x32 pixels.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, Strict

from lrcore.errors import DataUnavailable
from lrcore.models._base import ImageShape, Model

if TYPE_CHECKING:
    from torch import Tensor, nn

# written down, because the API has no torchvision to ask
_NAMES = """
alexnet convnext_base convnext_large convnext_small convnext_tiny densenet121 densenet161 densenet169 densenet201
efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3 efficientnet_b4 efficientnet_b5 efficientnet_b6
efficientnet_b7 efficientnet_v2_l efficientnet_v2_m efficientnet_v2_s googlenet inception_v3 maxvit_t mnasnet0_5
mnasnet0_75 mnasnet1_0 mnasnet1_3 mobilenet_v2 mobilenet_v3_large mobilenet_v3_small regnet_x_16gf regnet_x_1_6gf
regnet_x_32gf regnet_x_3_2gf regnet_x_400mf regnet_x_800mf regnet_x_8gf regnet_y_128gf regnet_y_16gf
regnet_y_1_6gf regnet_y_32gf regnet_y_3_2gf regnet_y_400mf regnet_y_800mf regnet_y_8gf resnet101 resnet152 resnet18
resnet34 resnet50 resnext101_32x8d resnext101_64x4d resnext50_32x4d shufflenet_v2_x0_5 shufflenet_v2_x1_0
shufflenet_v2_x1_5 shufflenet_v2_x2_0 squeezenet1_0 squeezenet1_1 swin_b swin_s swin_t swin_v2_b swin_v2_s
swin_v2_t vgg11 vgg11_bn vgg13 vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn vit_b_16 vit_b_32 vit_h_14 vit_l_16 vit_l_32
wide_resnet101_2 wide_resnet50_2
"""
NAMES = tuple(_NAMES.split())
PREFIX = "torchvision:"
TYPES = tuple(PREFIX + name for name in NAMES)

# pixels a side below which a feature map would vanish, by the start of the name; 1 for all others
SMALLEST = {
    "alexnet": 63,
    "convnext": 32,
    "densenet": 29,
    "googlenet": 15,
    "inception": 75,
    "squeezenet1_0": 21,
    "squeezenet1_1": 17,
    "swin": 4,
    "vgg": 32,
}
VIT_PATCHES = {"vit_b_16": 16, "vit_b_32": 32, "vit_h_14": 14, "vit_l_16": 16, "vit_l_32": 32}
MAXVIT_UNIT = 224  # halved five times it is one of its windows, 7 pixels a side

# pixels a side of the images that pretrained Transformers are for: these, or 224
SIDES = {
    ("vit_b_16", "IMAGENET1K_SWAG_E2E_V1"): 384,
    ("vit_h_14", "DEFAULT"): 518,
    ("vit_h_14", "IMAGENET1K_SWAG_E2E_V1"): 518,
    ("vit_l_16", "IMAGENET1K_SWAG_E2E_V1"): 512,
}


class TorchvisionModel(Model):
    """A model as torchvision builds it, without auxiliary classifiers. Grey images are shown to it in three channels.

    With weights, all layers but the last start from what was learnt on ImageNet; freeze can keep them so.
    """

    summary = "a model of torchvision, new or pretrained on ImageNet"
    origin = "torchvision.models"
    example = {"type": "torchvision:resnet18", "weights": "DEFAULT"}

    type: Literal[TYPES]  # type: ignore[valid-type]  # computed, for pydantic alone
    weights: Annotated[str, Strict(), Field(pattern="^[A-Z][A-Z0-9_]{0,99}$")] | None = Field(
        None, description="what to start from, as torchvision names it: DEFAULT, IMAGENET1K_V1, ...; null for nothing"
    )

    @property
    def architecture(self) -> str:
        """Torchvision's name of the model."""
        return str(self.type).removeprefix(PREFIX)

    def check(self, image_shape: ImageShape, num_classes: int) -> None:
        channels, height, width = image_shape
        if channels not in (1, 3):
            raise ValueError(f"{self.type} takes images with 1 or 3 channels, not {channels}")
        if wanted := self._unmet(height, width):
            raise ValueError(f"{self.type} needs {wanted}, not {height}x{width}")

    def _unmet(self, height: int, width: int) -> str | None:
        """What it wants of images, if these do not have it."""
        name, wanted, met = self.architecture, "", True
        if self.weights is not None and name.startswith(("vit", "maxvit")):
            side = SIDES.get((name, self.weights), 224)
            wanted, met = f"images of {side}x{side} with weights {self.weights}", height == width == side
        elif name.startswith("vit"):
            patch = VIT_PATCHES[name]
            wanted, met = f"square images, of a multiple of {patch} pixels", height == width and height % patch == 0
        elif name.startswith("maxvit"):
            wanted = f"images whose sides are multiples of {MAXVIT_UNIT}"
            met = height % MAXVIT_UNIT == 0 and width % MAXVIT_UNIT == 0
        else:
            side = next((side for start, side in SMALLEST.items() if name.startswith(start)), 1)
            wanted, met = f"images of at least {side}x{side}", min(height, width) >= side
        return None if met else wanted

    def build(self, image_shape: ImageShape, num_classes: int) -> nn.Module:
        models = _models()
        make = models.get_model_builder(self.architecture)
        options = self._options(image_shape)
        if self.weights is None:
            model: nn.Module = make(num_classes=num_classes, **options)
        else:
            model = self._pretrained(make, models.get_model_weights(self.architecture), options)
            _replace_last(model, num_classes)
        if image_shape[0] == 1:
            model.register_forward_pre_hook(_three_channels)
        return model

    def _options(self, image_shape: ImageShape) -> dict[str, Any]:
        """Arguments of the model's function, besides num_classes and weights."""
        if self.architecture.startswith("vit"):
            return {"image_size": image_shape[1]}
        if self.architecture.startswith("maxvit"):
            return {"input_size": image_shape[1:]}
        if self.architecture in ("googlenet", "inception_v3") and self.weights is None:
            return {"aux_logits": False, "init_weights": True}  # torchvision warns if the second is not said
        return {}

    def _pretrained(self, make: Any, known: Any, options: dict[str, Any]) -> nn.Module:
        """The model with its weights, for ImageNet's classes. Raises DataUnavailable."""
        # without categories they are weights of the convolutions alone, the rest being NaN
        usable = [name for name, weights in known.__members__.items() if weights.meta["categories"]]
        if self.weights not in usable:
            raise DataUnavailable(f"{self.type} has no weights {self.weights}; there are {', '.join(usable)}")
        try:
            # torch.hub prints what it downloads, and stdout is for results
            with redirect_stdout(sys.stderr), _without_code():
                model: nn.Module = make(weights=known[self.weights], progress=False, **options)
        except Exception as error:  # torch.hub raises whatever urllib, pickle or the file system does
            raise DataUnavailable(
                f"the weights {self.weights} of {self.type} are not under TORCH_HOME and cannot be downloaded, "
                f"or the file is damaged: {type(error).__name__}: {error} ({known[self.weights].url})"
            ) from error
        if self.architecture == "inception_v3":  # torchvision insists on loading the auxiliary classifier
            model.aux_logits, model.AuxLogits = False, None  # type: ignore[assignment]
        return model


@contextmanager
def _without_code() -> Iterator[None]:
    """Let torch.load take tensors alone: torchvision asks for whatever a pickle says, and checks no file it has."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


def _models() -> Any:
    """The module torchvision.models. Raises DataUnavailable."""
    from lrcore.datasets._torchvision import torchvision_datasets

    try:
        torchvision_datasets()  # makes torchvision importable beside every torch
        return importlib.import_module("torchvision.models")
    except (ImportError, RuntimeError) as error:
        raise DataUnavailable(f"torchvision, which has this model, does not import: {error}") from error


def _replace_last(model: nn.Module, num_classes: int) -> None:
    """Put a new layer for num_classes in the place of the last linear one, or of the last 1x1 convolution."""
    from torch import nn

    layers = dict(model.named_modules())
    linear = [name for name, layer in layers.items() if isinstance(layer, nn.Linear)]
    name = (linear or [name for name, layer in layers.items() if isinstance(layer, nn.Conv2d)])[-1]
    last = layers[name]
    if isinstance(last, nn.Linear):
        new: nn.Module = nn.Linear(last.in_features, num_classes, bias=last.bias is not None)
    else:
        assert isinstance(last, nn.Conv2d)  # SqueezeNet's
        new = nn.Conv2d(last.in_channels, num_classes, kernel_size=1)
    model.set_submodule(name, new)


def _three_channels(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Repeat grey images (n, 1, h, w) to (n, 3, h, w)."""
    return (inputs[0].expand(-1, 3, -1, -1),)
