"""The one way to torchvision, which does not import beside every torch."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

_kept: list[Any] = []  # the schemas last as long as their Library object


def torchvision_datasets() -> ModuleType:
    """The module torchvision.datasets.

    A torchvision built for CUDA cannot load its compiled operators beside a CPU build of torch, and then its import
    fails on a decorator that names one of them. The data sets need none: with the two schemas defined first, the
    import goes through. Can go when torchvision no longer registers fakes for operators that it could not load.

    Raises:
        ImportError, RuntimeError: torchvision is not installed, or does not import for another reason.
    """
    try:
        return importlib.import_module("torchvision.datasets")
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
    import torch

    library: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _kept.append(library)
    return importlib.import_module("torchvision.datasets")
