"""What the two CIFARs have in common: their files are pickles, and torchvision would run whatever is in one."""

from __future__ import annotations

import importlib
import pickle
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from lrcore.datasets._from_torchvision import FromTorchvision
from lrcore.datasets._torchvision import torchvision_datasets

ADMITTED = {("numpy", "dtype"), ("numpy", "ndarray")} | {
    (f"numpy.{core}.multiarray", "_reconstruct")
    for core in ("core", "_core")  # the published files say core
}


class Cifar(FromTorchvision):
    """A data set in the files of CIFAR.

    Attributes:
        label_key: under which name a file has its labels.
    """

    label_key: ClassVar[str]

    def reader(self) -> Any:
        return partial(Batches, getattr(torchvision_datasets(), self.source), self.label_key)


class Batches:
    """One split, with the interface of torchvision's class, whose files and MD5 sums these are.

    Raises:
        RuntimeError: files are not there, or not as they were published.
        pickle.UnpicklingError: there is something in them besides arrays, lists, dictionaries, text and numbers.
    """

    def __init__(self, published: Any, label_key: str, root: str, *, train: bool, download: bool) -> None:
        tools = importlib.import_module("torchvision.datasets.utils")
        if download:
            tools.download_and_extract_archive(published.url, root, filename=published.filename, md5=published.tgz_md5)
        folder = Path(root) / published.base_folder
        if not all(
            tools.check_integrity(str(folder / n), md5) for n, md5 in published.train_list + published.test_list
        ):
            raise RuntimeError("files are missing, or are not as they were published")
        split = published.train_list if train else published.test_list
        batches = [_unpickled(folder / name) for name, _ in split]
        self.data = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)
        self.targets = [label for batch in batches for label in batch[label_key]]


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ADMITTED:
            raise pickle.UnpicklingError(f"{module}.{name} is not admitted")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def _unpickled(file: Path) -> Any:
    with file.open("rb") as opened:
        return _Plain(opened, encoding="latin1").load()
