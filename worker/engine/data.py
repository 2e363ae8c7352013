"""Images on the device as bytes; normalized and augmented there, a batch at a time.

Letters in shapes: N images, B images of a batch, C channels, H height, W width.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from lrcore.datasets import Dataset
from lrcore.datasets._base import Files, Images, Labels
from lrcore.errors import SpecError
from lrcore.jobs.training_spec import TrainingSpec
from lrcore.service import traces

from .memory import free_memory

DTYPES = {"float32": torch.float32, "bfloat16": torch.float32, "float64": torch.float64}  # by a job's precision
Batch = tuple[Tensor, Tensor]  # images and labels

READ_AT_ONCE = 512  # files, or images that are resized
READ_AHEAD = 2**29  # bytes of images that wait for the device
THREADS = max(2, os.cpu_count() or 2)  # that read files: decoding holds no lock of Python's


@dataclass(frozen=True)
class Plan:
    """What is done to each image of an epoch, in the order in which they come.

    Attributes:
        flip: (N,) bool, which are mirrored.
        top, left: (N,) int64, where the image is cut out of the padded one.
        row, column: (N,) int64, centre of the square that is cut out of it.
    """

    flip: Tensor
    top: Tensor
    left: Tensor
    row: Tensor
    column: Tensor

    def at(self, places: slice | Tensor) -> Plan:
        """The part for some places."""
        return Plan(*(values[places] for values in vars(self).values()))


def update_in_place(plan: Plan | None, new: Plan | None) -> Plan | None:
    """Return the new plan, in the memory of the one before if both are there: a graph reads it."""
    if plan is None or new is None:
        return new
    for mine, values in zip(vars(plan).values(), vars(new).values(), strict=True):
        mine.copy_(values)
    return plan


def side_by_side(plans: Sequence[Plan | None]) -> Plan | None:
    """Return the plans of several runs as one, image by image."""
    given = [vars(plan).values() for plan in plans if plan is not None]
    return Plan(*(torch.stack(values, dim=1).flatten() for values in zip(*given, strict=True))) if given else None


class Transform:
    """From stored bytes to what the model sees.

    Args:
        dtype: float32 or float64.
    """

    def __init__(self, dataset: Dataset, device: torch.device, dtype: torch.dtype) -> None:
        _, self.height, self.width = dataset.image_shape
        self.padding, self.cutout, self.dtype = dataset.crop, dataset.cutout, dtype
        self.flips = dataset.flip
        self._rows = torch.arange(self.height, device=device)[None, :, None]
        self._columns = torch.arange(self.width, device=device)[None, None, :]
        self._mean_std: tuple[Tensor, Tensor] | None = None
        if (mean_and_std := dataset.mean_and_std) is not None:
            mean, std = (torch.tensor(values, dtype=dtype, device=device) for values in mean_and_std)
            self._mean_std = mean, std

    @property
    def moves(self) -> bool:
        """Whether pixels change their place in training."""
        return self.flips or self.padding > 0

    def plan(self, n: int, seed: int, epoch: int, device: torch.device) -> Plan | None:
        """The epoch's plan for n images, by seed and epoch alone; None if nothing is augmented."""
        if not (self.moves or self.cutout):
            return None
        random = np.random.Generator(np.random.PCG64([seed, epoch, 1]))  # beside that of the order, without the 1
        flip = random.integers(0, 2, n, dtype=np.int64) == 1 if self.flips else np.zeros(n, dtype=bool)
        top, left = random.integers(0, 2 * self.padding + 1, (2, n))
        row, column = random.integers(0, self.height, n), random.integers(0, self.width, n)
        return Plan(*(torch.from_numpy(np.ascontiguousarray(v)).to(device) for v in (flip, top, left, row, column)))

    def __call__(self, stored: Tensor, which: Tensor, plan: Plan | None) -> Tensor:
        """Chosen images as a batch (B, C, H, W) in channels_last.

        Args:
            stored: (N, H, W, C) uint8, padded by `padding` on all sides if there is a plan.
            which: (B,) int64.
        """
        if plan is not None and self.moves:
            columns = torch.where(plan.flip[:, None, None], self.width - 1 - self._columns, self._columns)
            rows = self._rows + plan.top[:, None, None]
            images = stored[which[:, None, None], rows, columns + plan.left[:, None, None]]
        else:
            images = stored.index_select(0, which)
        batch = images.div(255) if self.dtype == torch.float32 else images.to(self.dtype).div_(255)  # in one pass
        if self._mean_std is not None:
            batch = batch.sub_(self._mean_std[0]).div_(self._mean_std[1])
        if plan is not None and self.cutout:
            first, last = -(self.cutout // 2), (self.cutout + 1) // 2
            rows, columns = self._rows - plan.row[:, None, None], self._columns - plan.column[:, None, None]
            cut = (rows >= first) & (rows < last) & (columns >= first) & (columns < last)
            batch.masked_fill_(cut[..., None], 0)
        return batch.permute(0, 3, 1, 2)


class Split:
    """Images with their labels, and the way to batches of them.

    Args:
        images: (N, H, W, C) uint8 on the device or in main memory, padded already; or files, read when needed.
        labels: (N,) int64, on the device.
    """

    def __init__(self, images: Tensor | Files, labels: Tensor, transform: Transform, padding: int) -> None:
        self.images, self.labels, self.transform, self.padding = images, labels, transform, padding

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def resident(self) -> bool:
        """Whether all images are on the device."""
        return isinstance(self.images, Tensor) and self.images.device == self.labels.device

    def batch(self, order: Tensor, places: slice | Tensor, plan: Plan | None) -> Batch:
        """One batch (B, C, H, W), (B,) of images that are all on the device."""
        assert isinstance(self.images, Tensor)
        which = order[places]
        return self.transform(self.images, which, plan and plan.at(places)), self.labels[which]

    def batches(self, order: Tensor, places: list[slice], plan: Plan | None) -> Iterator[Batch]:
        """Batches (B, C, H, W), (B,), one for each slice of the order.

        Args:
            order: (n,) int64, on the device.
            plan: for the same places, or None.
        """
        if self.resident:
            for place in places:
                yield self.batch(order, place, plan)
            return
        for place, stored in zip(places, self._brought([order[place].cpu() for place in places]), strict=True):
            which = torch.arange(len(stored), device=self.labels.device)
            yield self.transform(stored, which, plan and plan.at(place)), self.labels[order[place]]

    def _brought(self, batches: list[Tensor]) -> Iterator[Tensor]:
        """The stored images of each batch on the device, some batches ahead read by threads."""
        waiting: deque[Future[Tensor]] = deque()
        size = (self.transform.height + 2 * self.padding) * (self.transform.width + 2 * self.padding) * 3  # bytes
        with ThreadPoolExecutor(THREADS, thread_name_prefix="images") as pool:
            try:
                for batch in batches:
                    waiting.append(pool.submit(self._read, batch))
                    if len(waiting) > min(THREADS, READ_AHEAD // max(1, len(batch) * size)):
                        yield waiting.popleft().result().to(self.labels.device, non_blocking=True)
                while waiting:
                    yield waiting.popleft().result().to(self.labels.device, non_blocking=True)
            finally:
                pool.shutdown(cancel_futures=True)

    def _read(self, which: Tensor) -> Tensor:
        if isinstance(self.images, Tensor):
            found = self.images.index_select(0, which)
        else:
            side = (self.transform.height, self.transform.width)
            found = _padded(_resized(torch.from_numpy(self.images.read(which.numpy())), side), self.padding)
        return found.pin_memory() if self.labels.device.type == "cuda" else found


@dataclass(frozen=True)
class Data:
    """A job's images: training, validation (if some are held out) and test."""

    training: Split
    validation: Split | None
    test: Split

    @property
    def tested(self) -> int:
        """Images of the largest test pass."""
        return max(len(self.test), len(self.validation or ()))


def sizes_of(spec: TrainingSpec) -> list[int]:
    """Images of each step of an epoch."""
    n, size = spec.dataset.train_size, spec.batch_size
    return [min(size, n - begin) for begin in range(0, spec.steps_per_epoch * size, size)]


def epoch_pieces(spec: TrainingSpec) -> list[list[slice]]:
    """The places of each batch of an epoch in its order: one slice, or several with micro_batch_size."""
    most, ends = spec.micro_batch_size or spec.batch_size, itertools.accumulate(sizes_of(spec), initial=0)
    return [
        [slice(at, min(at + most, end)) for at in range(begin, end, most)] for begin, end in itertools.pairwise(ends)
    ]


def permutation(n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order of the training images in one epoch, shape (n,): the same for every device and version of torch."""
    return np.random.Generator(np.random.PCG64([seed, epoch])).permutation(n)


@traces.traced("data load")
def load(
    dataset: Dataset, root: Path, device: torch.device, dtype: torch.dtype = torch.float32, memory: int | None = None
) -> Data:
    """The data set, on the device if it fits, else in main memory, else left in its files.

    Args:
        memory: bytes of images that may be kept on the device, and the same in main memory; half of what is free if
            None.

    Raises:
        DataUnavailable: it cannot be loaded.
        SpecError: it has fewer test images than are asked for.
    """
    splits = dataset.load(root)
    transform = Transform(dataset, device, dtype)
    held, kept = divided(dataset)
    tested = _drawn(dataset, len(splits.test_labels))
    parts: list[tuple[Images | Files, Labels, int]] = []
    moved = transform.padding if transform.moves else 0
    for images, labels, which, padding in (
        (splits.train_images, splits.train_labels, kept, moved),
        (splits.train_images, splits.train_labels, held, 0),
        (splits.test_images, splits.test_labels, tested, 0),
    ):
        chosen = images if which is None else images[which] if isinstance(images, np.ndarray) else Subset(images, which)
        parts.append((chosen, labels if which is None else labels[which], padding))
    side = (transform.height, transform.width)
    size = sum(len(labels) * dataset.image_shape[0] * (side[0] + 2 * p) * (side[1] + 2 * p) for _, labels, p in parts)
    in_memory = size <= (memory if memory is not None else free_memory(torch.device("cpu")) // 2)
    on_device = in_memory and size <= (memory if memory is not None else free_memory(device) // 2)

    def split(images: Images | Files, labels: Labels, padding: int) -> Split:
        stored: Tensor | Files = images  # type: ignore[assignment]
        if in_memory or isinstance(images, np.ndarray):
            stored = _padded(_resized(_in_memory(images), side), padding).to(device if on_device else "cpu")
        return Split(stored, torch.from_numpy(labels).to(device), transform, padding)

    training, validation, test = (split(*part) for part in parts)
    return Data(training, validation if len(validation) else None, test)


def divided(dataset: Dataset) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
    """Which of the stored training images are held out, and which are trained on (None for all of them)."""
    if dataset.subset is None and dataset.validation_split is None:
        return np.array([], dtype=np.int64), None
    order = np.random.Generator(np.random.PCG64(dataset.split_seed)).permutation(dataset.stored_size)
    chosen = order[: dataset.subset or dataset.stored_size]
    return np.sort(chosen[: dataset.validation_size]), np.sort(chosen[dataset.validation_size :])


def _drawn(dataset: Dataset, size: int) -> NDArray[np.int64] | None:
    """Which of the test images are used; None for all of them."""
    if dataset.test_subset is None:
        return None
    if dataset.test_subset > size:
        raise SpecError(f"dataset.test_subset: there are {size} test images")
    random = np.random.Generator(np.random.PCG64([dataset.split_seed, 1]))
    return np.sort(random.permutation(size)[: dataset.test_subset])


class Subset:
    """Some of the images in files."""

    def __init__(self, files: Files, which: NDArray[np.int64]) -> None:
        self._files, self._which = files, which

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, channels, height, width)."""
        return (len(self._which), *self._files.shape[1:])

    def read(self, indices: NDArray[np.int64]) -> Images:
        """Some of them."""
        return self._files.read(self._which[indices])


def _in_memory(images: Images | Files) -> Tensor:
    """(N, C, H, W) uint8."""
    if isinstance(images, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(images))
    found = torch.empty(images.shape, dtype=torch.uint8)

    def read(begin: int) -> None:
        which = np.arange(begin, min(begin + READ_AT_ONCE, len(found)))
        found[begin : begin + READ_AT_ONCE] = torch.from_numpy(images.read(which))

    with ThreadPoolExecutor(THREADS, thread_name_prefix="images") as pool:
        list(pool.map(read, range(0, len(found), READ_AT_ONCE)))
    return found


def _resized(images: Tensor, side: tuple[int, int]) -> Tensor:
    """(N, C, H, W) uint8 at another size: bilinear, and smoothed first where it gets smaller."""
    if images.shape[2:] == side:
        return images
    out = torch.empty((*images.shape[:2], *side), dtype=torch.uint8)
    for begin in range(0, len(images), READ_AT_ONCE):
        part = images[begin : begin + READ_AT_ONCE].float()
        part = F.interpolate(part, side, mode="bilinear", antialias=True)
        out[begin : begin + READ_AT_ONCE] = part.round_().clamp_(0, 255).to(torch.uint8)
    return out


def _padded(images: Tensor, padding: int) -> Tensor:
    """(N, C, H, W) to (N, H + 2 * padding, W + 2 * padding, C), zeros around."""
    n, channels, height, width = images.shape
    out = images.new_zeros((n, height + 2 * padding, width + 2 * padding, channels))
    out[:, padding : padding + height, padding : padding + width] = images.permute(0, 2, 3, 1)
    return out
