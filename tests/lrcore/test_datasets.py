"""Data sets: facts and options of every one, and where they lie."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lrcore.datasets import DATASETS
from lrcore.datasets._from_torchvision import FromTorchvision
from lrcore.datasets._root import data_root
from lrcore.datasets._torchvision import torchvision_datasets
from lrcore.datasets.emnist import FACTS
from lrcore.service.settings import Settings
from tests.lrcore.datasets import made, refusal

DOWNLOADED = sorted(name for name, member in DATASETS.items() if issubclass(member, FromTorchvision))


@pytest.mark.parametrize("name", DATASETS)
def test_facts_agree_with_each_other(name: str) -> None:
    dataset = made(**DATASETS[name].example)
    mean, std = dataset.statistics

    assert len(mean) == len(std) == dataset.stored_shape[0]
    assert all(0 < m < 1 and 0 < s <= 0.5 for m, s in zip(mean, std, strict=True))
    assert dataset.num_classes >= 2
    assert dataset.train_size + dataset.validation_size == dataset.stored_size


@pytest.mark.parametrize("name", DATASETS)
def test_options_are_the_same_for_all(name: str) -> None:
    options = {"subset": 500, "validation_split": 0.1, "resize": 40, "normalize": {"mean": 0.5, "std": 0.25}}
    dataset = made(**DATASETS[name].example | options)
    channels = dataset.stored_shape[0]

    assert (dataset.train_size, dataset.validation_size) == (450, 50)
    assert dataset.image_shape == (channels, 40, 40)
    assert dataset.mean_and_std == ((0.5,) * channels, (0.25,) * channels)
    assert made(**dataset.model_dump()) == dataset


@pytest.mark.parametrize("name", DATASETS)
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("subset", 0),
        ("subset", 10**9),
        ("subset", True),
        ("validation_split", 1.0),
        ("validation_split", 1e-9),
        ("split_seed", -1),
        ("resize", 3),
        ("resize", 28.5),
        ("crop", 96),
        ("cutout", -1),
        ("flip", 1),
        ("normalize", {"mean": [0.5] * 4, "std": 0.25}),
        ("normalize", {"mean": [0.5], "std": [0.25, 0.25, 0.25]}),
        ("normalize", {"mean": 0.5, "std": 0.0}),
        ("mixup", 0.1),
    ],
)
def test_a_senseless_option_is_refused_by_name(name: str, option: str, value: Any) -> None:
    message = refusal(**DATASETS[name].example | {option: value})

    assert option in message or (option == "normalize" and "mean and std" in message)


@pytest.mark.parametrize(
    ("split", "classes", "train", "test"),
    [
        ("byclass", 62, 697_932, 116_323),
        ("bymerge", 47, 697_932, 116_323),
        ("balanced", 47, 112_800, 18_800),
        ("letters", 26, 124_800, 20_800),
        ("digits", 10, 240_000, 40_000),
        ("mnist", 10, 60_000, 10_000),
    ],
)
def test_emnist_has_six_splits(split: str, classes: int, train: int, test: int) -> None:
    dataset = made(type="emnist", split=split)

    assert (dataset.num_classes, dataset.stored_size, FACTS[split].test_size) == (classes, train, test)
    assert split in torchvision_datasets().EMNIST.splits
    assert "split" in refusal(type="emnist", split="words")


def test_the_statistics_of_svhn_with_extra_are_those_of_its_two_parts() -> None:
    sizes = np.array([[73_257], [531_131]])
    mean = np.array([[0.4377, 0.4438, 0.4728], [0.4300, 0.4284, 0.4427]])
    std = np.array([[0.1980, 0.2010, 0.1970], [0.1963, 0.1979, 0.1995]])
    together = (sizes * mean).sum(0) / sizes.sum()
    spread = np.sqrt((sizes * (std**2 + mean**2)).sum(0) / sizes.sum() - together**2)

    np.testing.assert_allclose(made(type="svhn").statistics, [mean[0], std[0]])
    np.testing.assert_allclose(made(type="svhn", extra=True).statistics, [together, spread], atol=2e-4)


@pytest.mark.parametrize(
    "environment",
    [{}, {"HOME": "~/there"}, {"DATA_ROOT": "/srv/data"}, {"HOME": "/srv", "DATA_ROOT": "~/data/../sets"}],
)
def test_the_data_root_is_the_settings(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "DATA_ROOT"):
        monkeypatch.delenv(f"LRSERVE_{name}", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(f"LRSERVE_{name}", value)

    assert data_root() == Settings().data_folder
