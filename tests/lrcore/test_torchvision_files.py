"""Data sets of torchvision: read from files as their authors write them, and downloaded once."""

from __future__ import annotations

import pickle
import struct
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import scipy.io

from lrcore.datasets import Dataset
from lrcore.datasets._base import Splits
from lrcore.datasets._from_torchvision import FromTorchvision
from lrcore.datasets._torchvision import torchvision_datasets
from lrcore.errors import DataUnavailable
from tests.lrcore.datasets import Pixels, labels, made, pixels
from tests.lrcore.test_datasets import DOWNLOADED

MNIST_LIKE = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "kmnist": "KMNIST"}
TRAIN, TEST = 12, 5  # images of the small files written here


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise URLError("no network in this test")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)


def shrunk(dataset: Dataset, monkeypatch: pytest.MonkeyPatch, train: int = TRAIN, test: int = TEST) -> Dataset:
    """The data set, made to expect the small files of a test."""
    assert isinstance(dataset, FromTorchvision)
    small = replace(dataset.facts, train_size=train, test_size=test)
    monkeypatch.setattr(type(dataset), "facts", small)
    return dataset


def idx(file: Path, values: Pixels) -> None:
    """Write the format of MNIST: magic number, big-endian sizes, bytes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    head = struct.pack(f">I{values.ndim}I", 0x800 | values.ndim, *values.shape)
    file.write_bytes(head + values.tobytes())


def are(splits: Splits, train: Pixels, train_labels: Any, test: Pixels, test_labels: Any) -> None:
    """Check what was loaded against what was written."""
    for found, written in ((splits.train_images, train), (splits.test_images, test)):
        assert isinstance(found, np.ndarray)
        assert found.dtype == np.uint8
        assert found.flags.c_contiguous
        np.testing.assert_array_equal(found, written)
    for numbers, written in ((splits.train_labels, train_labels), (splits.test_labels, test_labels)):
        assert numbers.dtype == np.int64
        np.testing.assert_array_equal(numbers, written)


@pytest.mark.parametrize("name", MNIST_LIKE)
def test_the_mnists_are_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw, train, test = tmp_path / MNIST_LIKE[name] / "raw", pixels(TRAIN, 28, 28), pixels(TEST, 28, 28)
    idx(raw / "train-images-idx3-ubyte", train)
    idx(raw / "train-labels-idx1-ubyte", labels(TRAIN))
    idx(raw / "t10k-images-idx3-ubyte", test)
    idx(raw / "t10k-labels-idx1-ubyte", labels(TEST))

    splits = shrunk(made(type=name), monkeypatch).load(tmp_path)

    are(splits, train[:, None], labels(TRAIN), test[:, None], labels(TEST))


@pytest.mark.parametrize(("split", "first"), [("letters", 1), ("balanced", 0)])
def test_emnist_is_set_upright_and_counted_from_0(
    split: str, first: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, test = pixels(TRAIN, 28, 28), pixels(TEST, 28, 28)
    for part, images in (("train", train), ("test", test)):
        idx(tmp_path / f"EMNIST/raw/emnist-{split}-{part}-images-idx3-ubyte", images.transpose(0, 2, 1))
        idx(tmp_path / f"EMNIST/raw/emnist-{split}-{part}-labels-idx1-ubyte", labels(len(images), 26) + np.uint8(first))

    splits = shrunk(made(type="emnist", split=split), monkeypatch).load(tmp_path)

    are(splits, train[:, None], labels(TRAIN, 26), test[:, None], labels(TEST, 26))


def pickled(folder: Path, name: str, **content: Any) -> list[str | None]:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(pickle.dumps(content))
    return [name, None]  # a file that torchvision checks no sum of


@pytest.mark.parametrize(("name", "key", "classes"), [("cifar10", "labels", 10), ("cifar100", "fine_labels", 100)])
def test_the_cifars_are_read(
    name: str, key: str, classes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = getattr(torchvision_datasets(), name.upper())
    folder, train, test = tmp_path / source.base_folder, pixels(TRAIN, 3, 32, 32), pixels(TEST, 3, 32, 32)
    numbers = [int(n) for n in 7 * np.arange(TRAIN) % classes]
    halves = [
        pickled(folder, f"part{i}", data=half.reshape(len(half), -1), **{key: listed})
        for i, (half, listed) in enumerate(((train[:8], numbers[:8]), (train[8:], numbers[8:])))
    ]
    monkeypatch.setattr(source, "train_list", halves)
    monkeypatch.setattr(
        source, "test_list", [pickled(folder, "test", data=test.reshape(TEST, -1), **{key: numbers[:TEST]})]
    )
    pickled(folder, "meta", names=[])
    monkeypatch.setattr(source, "meta", {"filename": "meta", "key": "names", "md5": None})

    splits = shrunk(made(type=name), monkeypatch).load(tmp_path)

    are(splits, train, numbers, test, numbers[:TEST])


@pytest.mark.parametrize("extra", [False, True])
def test_svhn_is_read_with_and_without_extra(extra: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = {}
    for split, n in (("train", TRAIN), ("extra", 7), ("test", TEST)):
        written[split] = (pixels(n, 3, 32, 32), labels(n))
        ones_to_ten = np.where(written[split][1] == 0, 10, written[split][1])[:, None]
        scipy.io.savemat(tmp_path / f"{split}.mat", {"X": written[split][0].transpose(2, 3, 1, 0), "y": ones_to_ten})
    files = {split: ["", f"{split}.mat", None] for split in written}
    monkeypatch.setattr(torchvision_datasets().SVHN, "split_list", files)

    splits = shrunk(made(type="svhn", extra=extra), monkeypatch, TRAIN + 7 * extra).load(tmp_path)

    trained = [written["train"], written["extra"]] if extra else [written["train"]]
    images, numbers = (np.concatenate(parts) for parts in zip(*trained, strict=True))
    are(splits, images, numbers, *written["test"])


def test_stl10_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, train, test = torchvision_datasets().STL10, pixels(TRAIN, 3, 96, 96), pixels(TEST, 3, 96, 96)
    folder = tmp_path / source.base_folder
    folder.mkdir()
    for part, images in (("train", train), ("test", test)):
        (folder / f"{part}_X.bin").write_bytes(images.transpose(0, 1, 3, 2).tobytes())
        (folder / f"{part}_y.bin").write_bytes((labels(len(images)) + np.uint8(1)).tobytes())
        monkeypatch.setattr(source, f"{part}_list", [[f"{part}_X.bin", None], [f"{part}_y.bin", None]])

    splits = shrunk(made(type="stl10"), monkeypatch).load(tmp_path)

    are(splits, train, labels(TRAIN), test, labels(TEST))


@pytest.mark.parametrize("name", DOWNLOADED)
@pytest.mark.usefixtures("offline")
def test_what_is_neither_there_nor_to_be_had_is_named(name: str, tmp_path: Path) -> None:
    dataset = made(type=name)
    assert isinstance(dataset, FromTorchvision)

    with pytest.raises(DataUnavailable) as caught:
        dataset.load(tmp_path / "datasets")

    assert f"{name} is not under {tmp_path / 'datasets' / dataset.place}" in str(caught.value)
    assert "LRSERVE_DATA_ROOT" in str(caught.value)


def test_files_with_another_number_of_images_are_refused(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    idx(raw / "train-images-idx3-ubyte", pixels(TRAIN, 28, 28))
    idx(raw / "train-labels-idx1-ubyte", labels(TRAIN))
    idx(raw / "t10k-images-idx3-ubyte", pixels(TEST, 28, 28))
    idx(raw / "t10k-labels-idx1-ubyte", labels(TEST))

    with pytest.raises(DataUnavailable, match=r"12 labels and training images of shape \(12, 1, 28, 28\).*60000"):
        made(type="mnist").load(tmp_path)


def test_labels_outside_the_classes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = tmp_path / "MNIST" / "raw"
    for part, n in (("train", TRAIN), ("t10k", TEST)):
        idx(raw / f"{part}-images-idx3-ubyte", pixels(n, 28, 28))
        idx(raw / f"{part}-labels-idx1-ubyte", labels(n) + np.uint8(1))

    with pytest.raises(DataUnavailable, match="training labels from 1 to 10, where there are 10 classes"):
        shrunk(made(type="mnist"), monkeypatch).load(tmp_path)


def test_two_workers_do_not_download_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, most, guard = [0], [0], threading.Lock()

    class Downloading:
        def __init__(self, root: str, **_: Any) -> None:
            with guard:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            threading.Event().wait(0.02)
            with guard:
                inside[0] -= 1
            self.data, self.labels = pixels(TRAIN, 3, 32, 32), labels(TRAIN)

    monkeypatch.setattr(torchvision_datasets(), "SVHN", Downloading)
    dataset = shrunk(made(type="svhn"), monkeypatch, test=TRAIN)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: dataset.load(tmp_path), range(4)))

    assert most == [1]


@pytest.mark.parametrize("breaks", [True, False])
def test_half_of_a_download_is_never_taken_for_the_data(
    breaks: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MNIST as torchvision unpacks it: straight into the files that it looks for."""

    images = {"train": pixels(TRAIN, 28, 28), "t10k": pixels(TEST, 28, 28)}

    def download(self: Any) -> None:
        for part, written in images.items():
            idx(Path(self.raw_folder) / f"{part}-images-idx3-ubyte", written)
            if breaks:
                raise OSError("the connection broke")
            idx(Path(self.raw_folder) / f"{part}-labels-idx1-ubyte", labels(len(written)))

    monkeypatch.setattr(torchvision_datasets().MNIST, "download", download)
    dataset = shrunk(made(type="mnist"), monkeypatch)

    if breaks:
        with pytest.raises(DataUnavailable, match="the connection broke"):
            dataset.load(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [".mnist.lock"]
    else:
        splits = dataset.load(tmp_path)
        are(splits, images["train"][:, None], labels(TRAIN), images["t10k"][:, None], labels(TEST))
        assert sorted(path.name for path in tmp_path.iterdir()) == [".mnist.lock", "MNIST"]
