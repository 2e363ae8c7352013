"""What happens to the images between the data set and the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from lrcore.datasets._base import Splits
from lrcore.datasets.fake import Fake
from lrcore.errors import SpecError
from lrserve.worker.engine import train
from lrserve.worker.engine.data import Data, Plan, divided, load
from tests.factories import training_spec
from tests.worker.test_engine import figures

NOWHERE = Path("/nonexistent")
CPU = torch.device("cpu")


def fake(**options: Any) -> Fake:
    return Fake.model_validate(
        {"type": "fake", "samples": 40, "test_samples": 20, "image_size": 9, "channels": 3} | options
    )


def epoch(dataset: Fake, data: Data, number: int = 0, seed: int = 0) -> tuple[NDArray[Any], Plan | None]:
    """All training images of an epoch, in their stored order, as the model sees them."""
    training = data.training
    plan = training.transform.plan(len(training), seed, number, CPU)
    order = torch.arange(len(training))
    images, _ = training.batch(order, slice(0, len(training)), plan)
    assert images.shape[1:] == dataset.image_shape
    return images.numpy(), plan


def stored(dataset: Fake) -> NDArray[Any]:
    return np.asarray(dataset.load(NOWHERE).train_images) / np.float32(255)


def test_crops_and_mirrors_are_those_of_the_plan() -> None:
    dataset = fake(crop=2, flip=True)
    images, plan = epoch(dataset, load(dataset, NOWHERE, CPU))
    padded = np.pad(stored(dataset), ((0, 0), (0, 0), (2, 2), (2, 2)))

    assert plan is not None
    assert set(plan.top.tolist()) == set(plan.left.tolist()) == {0, 1, 2, 3, 4}
    assert 0 < plan.flip.sum() < 40
    for i, image in enumerate(images):
        top, left = int(plan.top[i]), int(plan.left[i])
        cut = padded[i, :, top : top + 9, left : left + 9]
        np.testing.assert_array_equal(image, cut[:, :, ::-1] if plan.flip[i] else cut)


def test_a_cut_out_square_is_zero_after_normalization() -> None:
    dataset = fake(cutout=4, normalize={"mean": 0.5, "std": [0.1, 0.2, 0.5]})
    images, plan = epoch(dataset, load(dataset, NOWHERE, CPU))
    whole = (stored(dataset) - np.float32(0.5)) / np.array([0.1, 0.2, 0.5], dtype=np.float32)[:, None, None]

    assert plan is not None
    for image, original, row, column in zip(images, whole, plan.row.tolist(), plan.column.tolist(), strict=True):
        expected = original.copy()
        expected[:, max(row - 2, 0) : row + 2, max(column - 2, 0) : column + 2] = 0
        np.testing.assert_allclose(image, expected, rtol=1e-6, atol=1e-7)


def test_each_epoch_and_seed_has_its_own_plan_and_the_same_one_again() -> None:
    dataset = fake(crop=2, flip=True, cutout=3)
    data = load(dataset, NOWHERE, CPU)
    first = epoch(dataset, data)[0]

    np.testing.assert_array_equal(first, epoch(dataset, data)[0])
    assert not np.array_equal(first, epoch(dataset, data, number=1)[0])
    assert not np.array_equal(first, epoch(dataset, data, seed=1)[0])


def test_test_images_are_never_augmented() -> None:
    dataset = fake(crop=2, flip=True, cutout=3)
    data = load(dataset, NOWHERE, CPU)
    images, _ = next(data.test.batches(torch.arange(20), [slice(0, 20)], None))

    expected = np.asarray(dataset.load(NOWHERE).test_images) / np.float32(255)
    np.testing.assert_array_equal(images.numpy(), expected)


def test_a_subset_is_split_by_its_own_seed() -> None:
    def parts(**options: Any) -> tuple[set[int], set[int]]:
        held, kept = divided(fake(subset=30, validation_split=0.2, **options))
        assert kept is not None
        return set(held.tolist()), set(kept.tolist())

    held, kept = parts()
    assert len(held) == 6
    assert len(kept) == 24
    assert not held & kept
    assert parts() == (held, kept)
    assert parts(split_seed=1) != (held, kept)


def test_a_subset_of_the_test_images_is_used() -> None:
    images, labels = load(fake(test_subset=7), NOWHERE, CPU).test.images, fake().load(NOWHERE).test_images
    whole = {np.asarray(image).tobytes() for image in np.asarray(labels)}

    assert isinstance(images, Tensor)
    assert images.shape == (7, 9, 9, 3)
    assert all(image.permute(2, 0, 1).contiguous().numpy().tobytes() in whole for image in images)
    with pytest.raises(SpecError, match=r"dataset\.test_subset: there are 20"):
        load(fake(test_subset=21), NOWHERE, CPU)


def test_validation_images_decide_on_the_best_epoch() -> None:
    job = training_spec(
        dataset={"type": "fake", "samples": 256, "test_samples": 64, "image_size": 12, "validation_split": 0.25},
        epochs=8,
        optimizer={"type": "SGD", "lr": 0.1, "momentum": 0.9},
    )
    result = train(job, data_root=NOWHERE, device=CPU)
    accuracies = [epoch.val_accuracy or 0.0 for epoch in result.epochs]

    assert job.steps_per_epoch == 3  # of 192 images
    assert result.best.epoch == int(np.argmax(accuracies))
    assert result.best.val_accuracy == max(accuracies)
    assert any(epoch.val_loss != epoch.test_loss for epoch in result.epochs)


class InFiles(Fake):
    """Fake images that pretend to lie in files."""

    def load(self, root: Path) -> Splits:
        splits = super().load(root)
        return Splits(Files(splits.train_images), splits.train_labels, Files(splits.test_images), splits.test_labels)


class Files:
    def __init__(self, images: Any) -> None:
        self._images, self.shape, self.reads = images, images.shape, 0

    def read(self, indices: NDArray[np.int64]) -> Any:
        self.reads += 1
        return self._images[indices]


OPTIONS = {"crop": 2, "flip": True, "cutout": 3, "validation_split": 0.2, "subset": 200, "resize": 14}


@pytest.mark.parametrize("memory", [None, 0], ids=["all in memory", "streamed"])
def test_images_in_files_train_like_images_in_memory(memory: int | None) -> None:
    job = training_spec(dataset={"type": "fake", "samples": 256, "test_samples": 64, "image_size": 12} | OPTIONS)
    files = InFiles.model_construct(**vars(job.dataset))
    in_files = job.model_copy(update={"dataset": files})
    data = load(files, NOWHERE, CPU, memory=memory)

    assert data.training.resident == (memory is None)
    result = train(in_files, data_root=NOWHERE, device=CPU, memory=memory)
    assert figures(result.epochs) == figures(train(job, data_root=NOWHERE, device=CPU).epochs)


def test_resized_images_are_those_of_torchvision() -> None:
    from lrcore.datasets._torchvision import torchvision_datasets

    torchvision_datasets()
    from torchvision.transforms.v2 import functional

    for side in (5, 20):
        dataset = fake(resize=side)
        images, _ = epoch(dataset, load(dataset, NOWHERE, CPU))
        original: Tensor = torch.from_numpy(np.asarray(dataset.load(NOWHERE).train_images))
        expected = functional.resize(original, [side, side], antialias=True).float() / 255
        assert np.abs(images - expected.numpy()).max() <= 1.01 / 255


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"subset": 41}, "subset"),
        ({"validation_split": 0.001}, "validation_split"),
        ({"crop": 9}, "crop"),
        ({"normalize": {"mean": [0.1, 0.2], "std": 1.0}}, "normalize"),
        ({"normalize": {"mean": 0.1, "std": 0.0}}, "std"),
        ({"resize": 2}, "resize"),
    ],
)
def test_options_that_cannot_be_are_named(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=field):
        fake(**options)
