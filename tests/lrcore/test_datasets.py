from __future__ import annotations

import os
import pickle
import shutil
import struct
import threading
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from lrcore.datasets import DATASETS, AnyDataset, Dataset, image_folder
from lrcore.datasets._base import Files, Splits
from lrcore.datasets._from_torchvision import FromTorchvision
from lrcore.datasets._root import data_root
from lrcore.datasets._torchvision import torchvision_datasets
from lrcore.datasets.emnist import FACTS
from lrcore.datasets.image_folder import ImageFiles, ImageFolder
from lrcore.errors import DataUnavailable
from lrcore.jobs.settings import Settings

Pixels = NDArray[np.uint8]

DOWNLOADED = sorted(name for name, member in DATASETS.items() if issubclass(member, FromTorchvision))
MNIST_LIKE = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "kmnist": "KMNIST"}
TRAIN, TEST = 12, 5  # images of the small files written here
random = np.random.Generator(np.random.PCG64(0))


def made(**spec: Any) -> Dataset:
    dataset: Dataset = TypeAdapter(AnyDataset).validate_python(spec)
    return dataset


def refusal(**spec: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        made(**spec)
    return str(caught.value)


def pixels(*shape: int) -> Pixels:
    return random.integers(0, 256, shape, dtype=np.uint8)


def labels(n: int, classes: int = 10) -> Pixels:
    return (np.arange(n) % classes).astype(np.uint8)


# --- facts and options -------------------------------------------------------------------------------------------


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


# --- files of torchvision ----------------------------------------------------------------------------------------


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


# --- image-folder ------------------------------------------------------------------------------------------------

Write = Callable[..., Path]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data root, as API and worker see it."""
    monkeypatch.setenv("LRSERVE_DATA_ROOT", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def write(root: Path) -> Write:
    """Writes a small image under the data root."""

    def one(path: str, width: int = 8, height: int = 8, mode: str = "RGB") -> Path:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        shape = (height, width) if mode == "L" else (height, width, len(mode))
        Image.fromarray(pixels(*shape)).save(file)
        return file

    return one


@pytest.fixture
def pets(write: Write) -> Path:
    """Two classes with three and two training images, and one test image each."""
    for path in ("train/dog/b.png", "train/dog/a.png", "train/cat/z.bmp", "train/cat/x.JPG", "train/cat/y.webp"):
        write(f"pets/{path}")
    for path in ("test/dog/1.png", "test/cat/1.png"):
        last = write(f"pets/{path}")
    return last.parents[2]


def folder(**changes: Any) -> ImageFolder:
    dataset = made(**{"type": "image-folder", "folder": "pets", "image_size": 8} | changes)
    assert isinstance(dataset, ImageFolder)
    return dataset


def read(images: Any) -> Pixels:
    files: Files = images
    return files.read(np.arange(files.shape[0]))


def test_classes_and_samples_are_counted_where_the_folder_is(pets: Path) -> None:
    (pets / "train" / "cat" / "notes.txt").write_text("no image")
    (pets / "train" / "cat" / "._x.jpg").write_text("no image either")
    (pets / "train" / "cat" / "more.png").mkdir()
    (pets / "train" / "empty").mkdir()
    (pets / "train" / ".cache").mkdir()
    (pets / "train" / "list.png").touch()

    counted = folder()

    assert (counted.num_classes, counted.stored_size) == (2, 5)
    assert ImageFolder.model_validate_json(counted.model_dump_json()) == counted
    assert ImageFolder.model_validate_json('{"type": "image-folder", "folder": "pets", "image_size": 8}') == counted
    assert folder(classes=3).samples == 5
    assert folder(samples=7).classes == 2


@pytest.fixture
def listings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the folders that are listed, with changes noticed at once."""
    monkeypatch.setattr(image_folder, "SETTLED", -1)
    monkeypatch.setattr(image_folder, "_known", {})
    found: list[str] = []
    scandir = os.scandir

    def listed(path: Any) -> Any:
        if not isinstance(path, int):  # rmtree's descriptors
            found.append(Path(path).name)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", listed)
    return found


def test_a_class_that_has_not_changed_is_not_listed_again(pets: Path, write: Write, listings: list[str]) -> None:
    assert folder().samples == 5
    assert sorted(listings) == ["cat", "dog", "train"]

    listings.clear()
    assert folder().samples == 5
    assert listings == ["train"]

    (pets / "train" / "dog" / "a.png").unlink()
    assert folder().samples == 4
    for name in ("cat/w", "bird/a"):
        write(f"pets/train/{name}.png")
    assert (folder().samples, folder().classes) == (6, 3)
    shutil.rmtree(pets / "train" / "cat")
    assert (folder().samples, folder().classes) == (2, 2)


def test_a_class_with_links_or_changed_just_now_is_listed_again(
    pets: Path, listings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (pets / "train" / "cat" / "link.png").symlink_to(pets / "train" / "dog" / "a.png")
    folder()
    listings.clear()
    folder()
    assert sorted(listings) == ["cat", "train"]

    monkeypatch.setattr(image_folder, "SETTLED", 10**18)
    monkeypatch.setattr(image_folder, "_known", {})
    folder()
    listings.clear()
    folder()
    assert sorted(listings) == ["cat", "dog", "train"]


def test_where_the_folder_is_not_the_counts_must_be_given(root: Path) -> None:
    message = "image-folder 'pets' is not under the data root here: give classes and samples"

    assert message in refusal(type="image-folder", folder="pets", image_size=8)
    assert message in refusal(type="image-folder", folder="pets", image_size=8, classes=2, samples=None)
    assert str(root) not in refusal(type="image-folder", folder="pets", image_size=8)
    assert folder(classes=2, samples=5).train_size == 5


def test_the_files_come_by_class_and_name(pets: Path) -> None:
    splits = folder().load(pets.parent)

    assert isinstance(splits.train_images, ImageFiles)
    assert splits.train_images.shape == (5, 3, 8, 8)
    assert splits.test_images.shape == (2, 3, 8, 8)
    assert splits.train_labels.tolist() == [0, 0, 0, 1, 1]
    assert splits.test_labels.tolist() == [0, 1]
    assert splits.train_labels.dtype == splits.test_labels.dtype == np.int64
    expected = [pets / "train" / name for name in ("cat/x.JPG", "cat/y.webp", "cat/z.bmp", "dog/a.png", "dog/b.png")]
    decoded = [np.asarray(Image.open(file)).transpose(2, 0, 1) for file in expected]
    np.testing.assert_array_equal(read(splits.train_images), decoded)
    np.testing.assert_array_equal(splits.train_images.read(np.array([3, 0, 3])), [decoded[i] for i in (3, 0, 3)])
    assert splits.train_images.read(np.array([], dtype=np.int64)).shape == (0, 3, 8, 8)


@pytest.mark.parametrize(("width", "height"), [(8, 8), (16, 16), (31, 17), (17, 31), (5, 6), (8, 20), (21, 8), (1, 9)])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_any_size_come_as_torchvision_transforms_them(
    width: int, height: int, mode: str, channels: int, pets: Path, write: Write
) -> None:
    torchvision_datasets()  # makes torchvision importable
    from torchvision import transforms

    file = write("pets/train/dog/a.png", width, height, mode)
    fitted = transforms.Compose([transforms.Resize(8), transforms.CenterCrop(8)])
    expected = np.asarray(fitted(Image.open(file).convert("L" if channels == 1 else "RGB"))).reshape(8, 8, channels)

    images = folder(channels=channels).load(pets.parent).train_images

    assert images.shape == (5, channels, 8, 8)
    assert isinstance(images, ImageFiles)
    np.testing.assert_array_equal(images.read(np.array([3]))[0], expected.transpose(2, 0, 1))


def test_images_are_read_by_many_threads(pets: Path) -> None:
    images = folder().load(pets.parent).train_images
    assert isinstance(images, ImageFiles)
    whole = read(images)

    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(images.read, [np.array([i % 5, (i + 1) % 5]) for i in range(100)]))

    for i, part in enumerate(parts):
        np.testing.assert_array_equal(part, whole[[i % 5, (i + 1) % 5]])


def test_val_stands_in_for_test(pets: Path) -> None:
    (pets / "test").rename(pets / "val")

    assert folder().load(pets.parent).test_images.shape == (2, 3, 8, 8)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, None])
def test_a_file_that_is_no_image_is_named(content: bytes | None, pets: Path) -> None:
    file = pets / "train" / "dog" / "a.png"
    file.write_bytes(file.read_bytes()[:-60] if content is None else content)
    images = folder().load(pets.parent).train_images

    with pytest.raises(DataUnavailable, match=r"train/dog/a.png cannot be read as an image"):
        read(images)


def test_a_format_that_needs_other_programs_is_no_image(pets: Path) -> None:
    (pets / "train" / "dog" / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n")

    with pytest.raises(DataUnavailable, match="cannot be read as an image"):
        read(folder().load(pets.parent).train_images)


def test_other_numbers_than_the_job_s_are_refused(pets: Path) -> None:
    with pytest.raises(DataUnavailable, match=r"for 2 classes and 50 training images.* are 2 classes and 5 images"):
        folder(samples=50).load(pets.parent)
    with pytest.raises(DataUnavailable, match=r"for 3 classes and 5 training images.* are 2 classes and 5 images"):
        folder(classes=3).load(pets.parent)


def test_a_folder_that_is_missing_is_named(pets: Path, tmp_path: Path) -> None:
    with pytest.raises(DataUnavailable, match=rf"'pets' is not under {tmp_path}/none:.*LRSERVE_DATA_ROOT"):
        folder().load(tmp_path / "none")
    (pets / "test").rename(pets / "tests")
    with pytest.raises(DataUnavailable, match="pets/test or pets/val"):
        folder().load(pets.parent)


def test_the_test_images_must_be_there_and_of_known_classes(pets: Path, write: Write) -> None:
    write("pets/test/fox/1.png")
    with pytest.raises(DataUnavailable, match="fox"):
        folder().load(pets.parent)
    for name in ("fox", "dog", "cat"):
        (pets / "test" / name / "1.png").unlink()
    with pytest.raises(DataUnavailable, match=r"no images under .*pets/test"):
        folder().load(pets.parent)


@pytest.mark.parametrize("linked", ["pets", "pets/train", "pets/train/dog", "pets/train/dog/a.png"])
def test_a_link_out_of_the_data_root_is_refused(linked: str, pets: Path, tmp_path: Path) -> None:
    spec, link = folder(), pets.parent / linked
    outside = link.rename(tmp_path / "outside")
    link.symlink_to(outside)

    with pytest.raises(DataUnavailable, match=f"{linked}.* is a link that leads out of the data root"):
        spec.load(pets.parent)
    message = refusal(type="image-folder", folder="pets", image_size=8)
    assert "leads out of the data root" in message
    assert str(tmp_path) not in message


@pytest.mark.parametrize("linked", ["pets", "pets/train", "pets/train/dog", "pets/train/dog/a.png"])
def test_a_link_inside_the_data_root_is_followed(linked: str, pets: Path) -> None:
    link = pets.parent / linked
    link.symlink_to(link.rename(pets.parent / "elsewhere"))

    assert read(folder().load(pets.parent).train_images).shape == (5, 3, 8, 8)


def test_the_data_root_itself_may_be_a_link(pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(pets.parent)
    monkeypatch.setenv("LRSERVE_DATA_ROOT", str(tmp_path / "link"))

    assert folder().load(tmp_path / "link").train_images.shape == (5, 3, 8, 8)


def test_a_link_to_nothing_is_an_image_that_cannot_be_read(pets: Path) -> None:
    file = pets / "train" / "dog" / "a.png"
    file.unlink()
    file.symlink_to(pets / "nothing.png")

    with pytest.raises(DataUnavailable, match=r"dog/a.png cannot be read"):
        read(folder().load(pets.parent).train_images)


def test_a_folder_that_may_not_be_listed_is_refused(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = folder()

    def forbidden(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", forbidden)

    assert "pets/train cannot be listed: Permission denied" in refusal(type="image-folder", folder="pets", image_size=8)
    with pytest.raises(DataUnavailable, match="pets/train cannot be listed"):
        spec.load(pets.parent)


NAMES = st.text(max_size=120) | st.lists(
    st.sampled_from(["..", ".", "/", "\\", "\0", "\n", "a", "~", ":", "%2e%2e", "pets", "‥", "．．", " "]), max_size=6
).map("".join)


@given(NAMES)
def test_no_name_leads_out_of_the_data_root(name: str) -> None:
    spec = {"type": "image-folder", "folder": name, "image_size": 8, "classes": 2, "samples": 5}
    root = Path("/srv/data")
    try:
        accepted = made(**spec)
    except ValidationError:
        return
    assert isinstance(accepted, ImageFolder)
    assert not set(name) & set("/\\\0\n:~")
    assert not name.startswith(".")
    assert Path(os.path.normpath(root / accepted.folder)).parent == root


@pytest.mark.parametrize("name", ["", ".", "..", ".git", "a/b", "/etc", "a\\b", "a\0", "a\n", "C:", "~", "x" * 101, 7])
def test_a_path_is_no_name(name: Any, root: Path) -> None:
    assert "folder" in refusal(type="image-folder", folder=name, image_size=8, classes=2, samples=5)
    assert "folder" in refusal(type="image-folder", folder=name, image_size=8)


@pytest.mark.parametrize("name", ["cifar10", "my pets", "v1.2_a-b+c", "a..b", "0"])
def test_a_name_may_have_dots_and_spaces(name: str) -> None:
    assert folder(folder=name, classes=2, samples=5).folder == name


@pytest.mark.parametrize("changes", [{"channels": 2}, {"classes": 1}, {"classes": True}, {"samples": 0}])
def test_senseless_counts_are_refused(changes: dict[str, Any]) -> None:
    counts = {"classes": 2, "samples": 5}
    assert next(iter(changes)) in refusal(type="image-folder", folder="pets", image_size=8, **counts | changes)


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
