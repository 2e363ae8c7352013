"""The base of every data set: a spec with its facts, and a `load` that only a worker calls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from lrcore.family import ByShape, Flag, Items, Member, Number, Spec, Whole

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]

PerChannel = Annotated[Number | Annotated[tuple[Number, ...], Items(4, least=1)], ByShape()]


class Files(Protocol):
    """Images that are read when they are needed."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, channels, height, width) of all of them, as they come out of `read`."""
        ...

    def read(self, indices: NDArray[np.int64]) -> Images:
        """Some of the images, shape (len(indices), channels, height, width). Safe to call from several threads.

        Raises:
            DataUnavailable: one of them cannot be read.
        """
        ...


@dataclass(frozen=True)
class Splits:
    """A data set in memory, or the way to its files.

    Attributes:
        train_images, test_images: shape (n, channels, height, width), uint8.
        train_labels, test_labels: shape (n,), int64.
    """

    train_images: Images | Files
    train_labels: Labels
    test_images: Images | Files
    test_labels: Labels


@dataclass(frozen=True)
class Facts:
    """What is known of a data set before it is read.

    Attributes:
        shape: (channels, height, width) of the images as they are stored.
        test_size: None if that is only known once it is read.
        mean, std: of each channel over the training images, in units of the range [0, 1].
    """

    shape: tuple[int, int, int]
    classes: int
    train_size: int
    test_size: int | None
    mean: tuple[float, ...]
    std: tuple[float, ...]


class Normalization(Spec):
    """Pixels in [0, 1] minus mean, divided by std; a number for all channels, or a list with one a channel."""

    mean: PerChannel
    std: PerChannel

    @model_validator(mode="after")
    def _std_is_positive(self) -> Self:
        if min(self.std if isinstance(self.std, tuple) else (self.std,)) <= 0:
            raise ValueError("std must be above 0")
        return self

    def channels(self) -> int | None:
        """For how many channels the lists are; None if there are none. Raises ValueError if they differ."""
        lengths = {len(values) for values in (self.mean, self.std) if isinstance(values, tuple)}
        if len(lengths) > 1:
            raise ValueError(f"mean and std are for different numbers of channels: {sorted(lengths)}")
        return next(iter(lengths), None)


class Dataset(Member):
    """Labelled images with a fixed training and test split, and what is done to them on their way to the model.

    subset, test_subset and validation_split draw images by split_seed, so that runs with different seeds share their
    data.
    """

    subset: Annotated[int, Whole(ge=1)] | None = Field(
        None, description="that many training images, drawn at random; all if null"
    )
    test_subset: Annotated[int, Whole(ge=1)] | None = Field(
        None, description="that many test images, drawn at random; all if null"
    )
    validation_split: Annotated[Number, Field(gt=0, lt=1)] | None = Field(
        None, description="share of the training images that is held out; it then decides on the best epoch"
    )
    split_seed: Annotated[int, Whole(ge=0, lt=2**32)] = Field(
        0, description="of subset, test_subset and validation_split"
    )
    resize: Annotated[int, Whole(ge=4, le=1024)] | None = Field(
        None, description="pixels a side, bilinear; the images' own size if null"
    )
    normalize: Annotated[Flag | Normalization, ByShape()] = Field(
        False, description="false: pixels in [0, 1]; true: by the data set's own mean and standard deviation; or given"
    )
    flip: Flag = Field(False, description="mirror half of the training images, anew in each epoch")
    crop: Annotated[int, Whole(ge=0, le=256)] = Field(
        0, description="pad training images by that many zero pixels and cut the size out at random, anew in each epoch"
    )
    cutout: Annotated[int, Whole(ge=0, le=1024)] = Field(
        0, description="side of a square at a random place that is set to 0 after normalization, anew in each epoch"
    )

    @property
    def facts(self) -> Facts:
        """What `load` finds."""
        raise NotImplementedError

    @property
    def stored_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of the images as they are stored."""
        return self.facts.shape

    @property
    def num_classes(self) -> int:
        return self.facts.classes

    @property
    def stored_size(self) -> int:
        """Training images there are."""
        return self.facts.train_size

    @property
    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel over the training images, in units of the range [0, 1]."""
        return self.facts.mean, self.facts.std

    def load(self, root: Path) -> Splits:
        """Read the data set, from under `root` if it lives in files; the options of this class are not applied yet.

        Raises:
            DataUnavailable: it is not there and cannot be downloaded.
        """
        raise NotImplementedError

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of the images as a model sees them."""
        return self.stored_shape if self.resize is None else (self.stored_shape[0], self.resize, self.resize)

    @property
    def validation_size(self) -> int:
        """Images held out of the training set."""
        if self.validation_split is None:
            return 0
        return round(self.validation_split * (self.subset or self.stored_size))

    @property
    def train_size(self) -> int:
        """Images trained on; with the batch size it gives the steps of an epoch."""
        return (self.subset or self.stored_size) - self.validation_size

    @property
    def mean_and_std(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """What pixels in [0, 1] are normalized by, for each channel; None for not at all."""
        if isinstance(self.normalize, Normalization):
            channels = self.stored_shape[0]
            mean, std = (v if isinstance(v, tuple) else (v,) * channels for v in vars(self.normalize).values())
            return mean, std
        return self.statistics if self.normalize else None

    @model_validator(mode="after")
    def _options_fit(self) -> Self:
        if self.subset is not None and self.subset > self.stored_size:
            raise ValueError(f"subset: there are {self.stored_size} training images")
        if self.validation_split is not None and not 0 < self.validation_size < (self.subset or self.stored_size):
            raise ValueError("validation_split leaves no image in one of the two parts")
        if self.crop >= min(self.image_shape[1:]):
            raise ValueError("crop: the padding must be smaller than the images")
        if isinstance(self.normalize, Normalization):
            given = self.normalize.channels()
            if given not in (None, self.stored_shape[0]):
                raise ValueError(f"normalize is for {given} channels, the images have {self.stored_shape[0]}")
        return self
