"""What the data sets that torchvision downloads and reads have in common."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from lrcore.datasets._base import Dataset, Images, Labels, Splits
from lrcore.datasets._torchvision import torchvision_datasets
from lrcore.errors import DataUnavailable


class FromTorchvision(Dataset):
    """A data set of torchvision, which downloads it on first use and checks the MD5 sums of what it downloads.

    Attributes:
        source: its class in torchvision.datasets.
        place: where it lies under the data root.
    """

    source: ClassVar[str]
    place: ClassVar[str]

    def parts(self, train: bool) -> tuple[dict[str, Any], ...]:
        """Arguments of `source`, beside root and download, for each of the parts that a split is made of."""
        return ({"train": train},)

    def reader(self) -> Any:
        """What is called for an instance of `source`."""
        return getattr(torchvision_datasets(), self.source)

    def pixels(self, data: Any) -> Images:
        """The images of an instance of `source`, shape (n, channels, height, width)."""
        stored = np.asarray(data.data)
        if stored.ndim == 3:
            return stored[:, None]
        return np.moveaxis(stored, 3, 1) if stored.shape[3] == self.facts.shape[0] else stored

    def labels(self, data: Any) -> Labels:
        """The labels of an instance of `source`, from 0 on, shape (n,)."""
        return np.asarray(data.targets if hasattr(data, "targets") else data.labels, dtype=np.int64)

    def load(self, root: Path) -> Splits:
        train_images, train_labels = self._split(root, train=True)
        test_images, test_labels = self._split(root, train=False)
        return Splits(train_images, train_labels, test_images, test_labels)

    def _split(self, root: Path, *, train: bool) -> tuple[Images, Labels]:
        try:
            root.mkdir(parents=True, exist_ok=True)
            with _alone(root / f".{self.type}.lock"):
                parts = self._instances(root, train)
            images = _joined([self.pixels(part) for part in parts])
            labels = np.concatenate([self.labels(part) for part in parts])
        except Exception as error:  # torchvision raises whatever urllib, gzip, pickle or the file system does
            why = " ".join(str(error).split())  # some have several lines
            raise DataUnavailable(
                f"{self.type} is not under {root / self.place} and could not be downloaded: {why}. "
                "Put its files there, or set LRSERVE_DATA_ROOT to where they are."
            ) from error
        self._check(images, labels, root / self.place, train=train)
        return images, labels

    def _instances(self, root: Path, train: bool) -> list[Any]:
        """Instances of `source`, of each part of a split; what is not there is downloaded."""
        source, parts = self.reader(), self.parts(train)
        try:
            return [source(str(root), download=False, **part) for part in parts]
        except RuntimeError:  # how torchvision says that files are missing or damaged
            with _arriving(root, self.type) as folder:
                for part in parts:
                    source(str(folder), download=True, **part)
        return [source(str(root), download=False, **part) for part in parts]

    def _check(self, images: Images, labels: Labels, place: Path, *, train: bool) -> None:
        """Refuse what is not the data set: a job's steps and its model were made for the facts."""
        facts, split = self.facts, "training" if train else "test"
        size = facts.train_size if train else facts.test_size
        if (images.shape, len(labels)) != ((size, *facts.shape), size):
            raise DataUnavailable(
                f"{self.type} under {place}: {len(labels)} labels and {split} images of shape {images.shape}, "
                f"where {(size, *facts.shape)} is expected"
            )
        if labels.min() < 0 or labels.max() >= facts.classes:
            raise DataUnavailable(
                f"{self.type} under {place}: {split} labels from {labels.min()} to {labels.max()}, "
                f"where there are {facts.classes} classes"
            )


def _joined(parts: list[Images]) -> Images:
    """All images in one C-contiguous array."""
    if len(parts) == 1:
        return np.ascontiguousarray(parts[0])
    n = sum(map(len, parts))
    whole = np.empty((n, *parts[0].shape[1:]), dtype=np.uint8)  # without it concatenate keeps transposed strides
    return np.concatenate(parts, out=whole)


@contextmanager
def _arriving(root: Path, name: str) -> Iterator[Path]:
    """A folder for files that are moved to `root`, once all are there: a download may be killed, half unpacked."""
    folder = root / f".{name}.part"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
        for file in (path for path in folder.rglob("*") if path.is_file()):
            target = root / file.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(file, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Keep the workers of a machine from writing the same files: one waits for the download of another."""
    with ExitStack() as held:
        with suppress(ImportError, OSError):  # Windows has no such locks, and in a read-only folder nobody writes
            import fcntl

            file = held.enter_context(lock.open("a"))
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(0.1)  # not in the lock itself: who waits for a download does not stand still
        yield
