"""A folder of one's own under the data root: FOLDER/train/CLASS/* and FOLDER/test/CLASS/*, or val in place of test.

The layout of torchvision.datasets.ImageFolder, without folders inside the classes.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from lrcore.datasets._base import Dataset, Facts, Images, Labels, Splits
from lrcore.datasets._root import data_root
from lrcore.errors import DataUnavailable
from lrcore.family import Whole

SUFFIXES = {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"}
MOST_PIXELS = 50_000_000  # of an image: 150 MB as colours; a file of some kilobytes may claim billions
MOST_FILES = 5_000_000  # of a split, those that are no images included; their names take half a gigabyte
FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP")  # what Pillow may take a file for, whatever its name

ONE_FOLDER = r"^[A-Za-z0-9_][A-Za-z0-9_.+ -]*$"  # no path leads out of the data root

Classes = dict[str, list[str]]  # the names of the files in each class, both sorted

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # mean and standard deviation of its channels
GREY = (0.449,), (0.226,)

SETTLED = 2 * 10**9  # nanoseconds after which a change no longer goes unnoticed
MOST_KNOWN = 50_000  # folders: some 20 MB
_known: dict[str, tuple[tuple[int, ...], int, int]] = {}  # of a class: its version, its entries, its images


class ImageFolder(Dataset):
    """An image's shorter side is resized to image_size, with antialiasing, and its centre is cut out.

    A class is a folder with at least one image; hidden files are left out. classes and samples are counted if they
    are left out and the folder is on the machine that reads the spec; what a worker finds must agree with them.
    normalize: true uses ImageNet's mean and standard deviation, and for grey images the means of its channels.
    """

    summary = "a folder of image files under the data root, with train/CLASS/* and test/CLASS/* or val/CLASS/*"
    origin = "lrserve, in the layout of torchvision.datasets.ImageFolder"
    example = {"type": "image-folder", "folder": "flowers", "image_size": 64, "classes": 102, "samples": 6149}

    type: Literal["image-folder"]
    folder: Annotated[str, Field(pattern=ONE_FOLDER, max_length=100, strict=True)] = Field(
        description="name of the folder in the data root"
    )
    image_size: Annotated[int, Whole(ge=4, le=1024)] = Field(description="pixels a side")
    channels: Annotated[Literal[1, 3], Whole()] = Field(3, description="3: colour; 1: grey")
    classes: Annotated[int, Whole(ge=2, le=50_000)] | None = Field(None, description="counted if left out")
    samples: Annotated[int, Whole(ge=1, le=100_000_000)] | None = Field(
        None, description="training images, counted if left out"
    )

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: Any) -> Any:
        """Fill in what the folder tells, so that a spec means the same on a machine without it."""
        if not isinstance(values, dict) or None not in (values.get("classes"), values.get("samples")):
            return values
        folder = values.get("folder")
        if not isinstance(folder, str) or not re.fullmatch(ONE_FOLDER, folder):
            return values  # the field is refused with its own message
        root = data_root()
        if not os.path.isdir(root / folder / "train"):  # Path.is_dir raises if it may not look
            raise ValueError(f"image-folder {folder!r} is not under the data root here: give classes and samples")
        counts = _counted(root / folder / "train", root)
        return values | {name: count for name, count in counts.items() if values.get(name) is None}

    @property
    def facts(self) -> Facts:
        assert self.classes is not None
        assert self.samples is not None
        shape = (self.channels, self.image_size, self.image_size)
        mean, std = GREY if self.channels == 1 else IMAGENET
        return Facts(shape, self.classes, self.samples, None, mean, std)

    def load(self, root: Path) -> Splits:
        root = Path(os.path.realpath(root))
        train, test = root / self.folder / "train", root / self.folder / "test"
        if not os.path.isdir(test):
            test = root / self.folder / "val"
        if not (os.path.isdir(train) and os.path.isdir(test)):
            raise DataUnavailable(
                f"image-folder {self.folder!r} is not under {root}: there must be {self.folder}/train and "
                f"{self.folder}/test or {self.folder}/val. Put it there, or set LRSERVE_DATA_ROOT to where it is."
            )
        trained, tested = _listed(train, root), _listed(test, root)
        found = (len(trained), sum(map(len, trained.values())))
        if found != (self.classes, self.samples):
            raise DataUnavailable(
                f"image-folder {self.folder!r}: the job is for {self.classes} classes and {self.samples} training "
                f"images, but under {train} there are {found[0]} classes and {found[1]} images"
            )
        if not tested:
            raise DataUnavailable(f"image-folder {self.folder!r}: there are no images under {test}")
        if unknown := sorted(tested.keys() - trained.keys()):
            raise DataUnavailable(
                f"image-folder {self.folder!r}: {test} has classes without training images: {unknown}"
            )
        numbers = {name: number for number, name in enumerate(trained)}
        return Splits(
            ImageFiles(train, trained, self.stored_shape),
            _labels(trained, numbers),
            ImageFiles(test, tested, self.stored_shape),
            _labels(tested, numbers),
        )


class ImageFiles:
    """The files of one split, by class and name; see lrcore.datasets._base.Files."""

    def __init__(self, folder: Path, classes: Classes, shape: tuple[int, int, int]) -> None:
        self._folder, self._classes, self._shape = folder, list(classes), shape
        self._names = [name for names in classes.values() for name in names]
        self._class = _labels(classes, {name: number for number, name in enumerate(classes)})

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (len(self._names), *self._shape)

    def read(self, indices: NDArray[np.int64]) -> Images:
        images = np.empty((len(indices), *self._shape), dtype=np.uint8)
        for image, index in zip(images, indices, strict=True):
            self._decode(os.path.join(self._folder, self._classes[self._class[index]], self._names[index]), image)
        return images

    def _decode(self, file: str, out: Images) -> None:
        """Put an image of shape (channels, height, width) into `out`, with the pixels that torchvision would give."""
        channels, side, _ = self._shape
        try:
            from PIL import Image

            with Image.open(file, formats=FORMATS) as stored:  # reads the head of the file alone
                _refuse_giants(*stored.size)
                image = stored.convert("L" if channels == 1 else "RGB")
            width, height = image.size
            if min(width, height) != side:
                short = min(width, height)
                width, height = int(side * width / short), int(side * height / short)
                _refuse_giants(width, height)  # a line of pixels, become a band
                image = image.resize((width, height), Image.Resampling.BILINEAR)
            left, top = round((width - side) / 2), round((height - side) / 2)
            pixels = np.asarray(image.crop((left, top, left + side, top + side)))
        except Exception as error:  # each of Pillow's decoders has its own
            raise DataUnavailable(f"{_printable(file)} cannot be read as an image: {error}") from error
        out[:] = pixels.reshape(side, side, channels).transpose(2, 0, 1)


def _refuse_giants(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise ValueError(f"it has {width} x {height} pixels, and {MOST_PIXELS:,} are the most that are decoded")


def _printable(path: str | Path) -> str:
    """A path for a message: names that are no UTF-8 have surrogates, which no JSON and no log takes."""
    return str(path).encode(errors="backslashreplace").decode()


def _labels(classes: Classes, numbers: dict[str, int]) -> Labels:
    """The class numbers of all files, shape (n,)."""
    return np.repeat([numbers[name] for name in classes], [len(names) for names in classes.values()]).astype(np.int64)


def _listed(split: Path, root: Path) -> Classes:
    """The image files in each class under `split`. Raises DataUnavailable, which names no path above `root`."""
    left = _Allowance(MOST_FILES)
    with _named_if_unlistable(split, root):
        names = sorted(entry.name for entry in _classes(split, root, left))
        classes = {name: _images(split / name, root, left)[0] for name in names}
    return {name: files for name, files in classes.items() if files}


def _counted(split: Path, root: Path) -> dict[str, int]:
    """How many classes and images there are under `split`; it raises as `_listed` does.

    A class that has not changed since it was last counted is not listed again.
    """
    left = _Allowance(MOST_FILES)
    with _named_if_unlistable(split, root):
        images = [_count(split / entry.name, root, left) for entry in _classes(split, root, left)]
    return {"classes": len(images) - images.count(0), "samples": sum(images)}


def _count(folder: Path, root: Path, left: _Allowance) -> int:
    """How many images are in a class, from `_known` where the folder is as it was."""
    if os.path.islink(folder):
        return len(_images(folder, root, left)[0])
    found = os.stat(folder)
    version = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
    known = _known.get(str(folder))
    if known is not None and known[0] == version:
        _, entries, images = known
        left.take(entries, folder, root)
        return images
    before = left.files
    names, links = _images(folder, root, left)
    # what changes within a tick of the file system's clock keeps its time; a link's target changes without the folder
    if not links and time.time_ns() - max(version[2:]) > SETTLED:
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        _known[str(folder)] = version, before - left.files, len(names)
    return len(names)


def _classes(split: Path, root: Path, left: _Allowance) -> list[os.DirEntry[str]]:
    """The folders of the classes, in any order."""
    _refuse_outside(split, root)
    return [entry for entry in _entries(split, root, left) if not entry.name.startswith(".") and entry.is_dir()]


@contextmanager
def _named_if_unlistable(split: Path, root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataUnavailable(f"{_printable(split.relative_to(root))} cannot be listed: {error.strerror}") from error


def _images(folder: Path, root: Path, left: _Allowance) -> tuple[list[str], bool]:
    """Sorted names of the image files in `folder`, and whether there are links."""
    _refuse_outside(folder, root)
    names, links = [], False
    for entry in _entries(folder, root, left):
        name = entry.name
        if name.startswith(".") or os.path.splitext(name)[1].lower() not in SUFFIXES:
            continue
        if entry.is_symlink():
            links = True
            _refuse_outside(folder / name, root)
            if entry.is_file() or not os.path.exists(entry.path):  # what leads to nothing is told of when it is read
                names.append(name)
        elif entry.is_file():
            names.append(name)
    return sorted(names), links


def _entries(folder: Path, root: Path, left: _Allowance) -> Iterator[os.DirEntry[str]]:
    """What is in `folder`."""
    with os.scandir(folder) as entries:
        for entry in entries:
            left.take(1, folder, root)
            yield entry


class _Allowance:
    """How many files of a split may still be listed."""

    def __init__(self, files: int) -> None:
        self.files = files

    def take(self, files: int, folder: Path, root: Path) -> None:
        """Raise DataUnavailable if there are too many."""
        self.files -= files
        if self.files < 0:
            raise DataUnavailable(f"{_printable(folder.relative_to(root))}: there are more than {MOST_FILES:,} files")


def _refuse_outside(path: Path, root: Path) -> None:
    if not Path(os.path.realpath(path)).is_relative_to(root):
        raise DataUnavailable(f"{_printable(path.relative_to(root))} is a link that leads out of the data root")
