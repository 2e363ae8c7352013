"""Files that were made to do harm: pictures, pickles, weights."""

from __future__ import annotations

import os
import pickle
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lrcore.datasets import image_folder
from lrcore.datasets._cifar import _unpickled
from lrcore.datasets._torchvision import torchvision_datasets
from lrcore.datasets.cifar10 import CIFAR10
from lrcore.datasets.image_folder import ImageFiles, ImageFolder
from lrcore.errors import DataUnavailable
from lrcore.models.torchvision import TorchvisionModel, _models
from lrserve.worker.engine import checkpoint


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """A folder of four images, tmp_path/pets."""
    for file in ("train/cat/1.png", "train/dog/1.png", "test/cat/1.png", "test/dog/1.png"):
        (tmp_path / "pets" / file).parent.mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "pets" / file)
    return tmp_path / "pets"


def read(root: Path, **counts: int) -> Any:
    spec = {"type": "image-folder", "folder": "pets", "image_size": 8, "classes": 2, "samples": 2}
    images = ImageFolder.model_validate(spec | counts).load(root).train_images
    assert isinstance(images, ImageFiles)
    return images.read(np.arange(images.shape[0]))


def png(width: int, height: int, rows: int = 1) -> bytes:
    """A PNG that claims a size; of its pixels there are some rows of zeros."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixels = zlib.compress(bytes(rows * (width + 1)))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(7072, 7072), (50_000, 1001), (40_000, 40_000), (2**31 - 1, 2**31 - 1)])
def test_a_giant_is_refused_by_its_head(width: int, height: int, pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (pets / "train/dog/1.png").write_bytes(png(width, height, 1 if width < 2**20 else 0))
    monkeypatch.setattr(Image.Image, "convert", None)  # nothing is decoded

    with pytest.raises(DataUnavailable, match=r"train/\w+/1.png cannot be read as an image"):
        read(pets.parent)


def test_as_many_pixels_as_are_allowed_are_read(pets: Path) -> None:
    Image.new("L", (10_000, 5_000), 7).save(pets / "train/dog/1.png")

    assert (read(pets.parent)[1] == 7).all()


def test_a_line_of_pixels_does_not_become_a_band_of_gigabytes(pets: Path) -> None:
    (pets / "train/dog/1.png").write_bytes(png(40_000_000, 1))

    with pytest.raises(DataUnavailable, match=r"dog/1.png cannot be read as an image: it has 320000000 x 8 pixels"):
        read(pets.parent)


@pytest.mark.parametrize("form", ["GIF", "ICO", "PDF", "EPS", "TGA", "PCX", "DDS", "SGI", "ICNS"])
def test_other_formats_are_opened_under_no_name(form: str, pets: Path) -> None:
    Image.new("RGB", (16, 16)).save(pets / "train/dog/1.png", format=form)

    with pytest.raises(DataUnavailable, match=r"dog/1.png cannot be read as an image"):
        read(pets.parent)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_truncated_file_is_named(form: str, part: float, pets: Path) -> None:
    file, noise = pets / "train/dog/1.png", np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, format=form)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * part)])

    with pytest.raises(DataUnavailable, match=r"dog/1.png cannot be read as an image"):
        read(pets.parent)


def test_a_pipe_is_waited_for_by_nobody(pets: Path) -> None:
    os.mkfifo(pets / "train/dog/2.png")
    os.mkfifo(pets / "pipe")
    (pets / "train/dog/3.png").symlink_to(pets / "pipe")

    assert len(read(pets.parent)) == 2


def test_names_that_are_no_utf8_are_read_and_told(pets: Path) -> None:
    name = os.fsencode(pets / "train/dog") + b"/\xff\xfe.png"
    Path(os.fsdecode(name)).write_bytes(png(8, 8, 8))
    assert len(read(pets.parent, samples=3)) == 3

    Path(os.fsdecode(name)).write_bytes(b"no image")
    with pytest.raises(DataUnavailable) as caught:
        read(pets.parent, samples=3)
    assert r"train/dog/\udcff\udcfe.png cannot be read" in str(caught.value).encode().decode()

    Path(os.fsdecode(name)).unlink()
    os.symlink("/etc", name)
    with pytest.raises(DataUnavailable, match="leads out of the data root") as caught:
        read(pets.parent)
    str(caught.value).encode()


def test_a_listing_has_an_end(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_folder, "MOST_FILES", 20)
    for i in range(20):
        (pets / "train/dog" / f"{i}.txt").touch()

    with pytest.raises(DataUnavailable, match="pets/train/dog: there are more than 20 files"):
        read(pets.parent)


class Harmful:
    """A pickle that makes a file when it is read."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self._file),)


def batches(root: Path, monkeypatch: pytest.MonkeyPatch, **content: Any) -> None:
    source = torchvision_datasets().CIFAR10
    folder = root / source.base_folder
    folder.mkdir()
    plain = {"data": np.zeros((2, 3072), np.uint8), "labels": [0, 1], "batch_label": "one", "filenames": ["a", "b"]}
    (folder / "all").write_bytes(pickle.dumps(plain | content, protocol=4))
    for name in ("train_list", "test_list"):
        monkeypatch.setattr(source, name, [["all", None]])


def test_a_pickle_of_cifar_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches(tmp_path, monkeypatch, more=[{"deep": Harmful(tmp_path / "made")}])

    with pytest.raises(DataUnavailable, match="mkdir is not admitted"):
        CIFAR10(type="cifar10").load(tmp_path)
    assert not (tmp_path / "made").exists()


PYTHON_2 = (  # as the published files are written: by Python 2, with numpy's name of then
    b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85U\x01b\x87Rq\x05"
    b"(K\x01K\x02M\x00\x0c\x86cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq\x07(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
    b"K\x00tb\x89T\x00\x18\x00\x00" + bytes(range(256)) * 24 + b"tbU\x06labelsq\x08]q\x09(K\x03K\x09eu."
)


def test_the_pickles_of_python_2_are_read(tmp_path: Path) -> None:
    (tmp_path / "batch").write_bytes(PYTHON_2)
    found = _unpickled(tmp_path / "batch")

    assert found["labels"] == [3, 9]
    np.testing.assert_array_equal(found["data"].ravel(), np.frombuffer(bytes(range(256)) * 24, np.uint8))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_of_weights_runs_nothing(zipped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", raising=False)
    models = _models()
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    file = folder / models.ResNet18_Weights.DEFAULT.url.rsplit("/", 1)[1]
    torch.save({"fc.bias": Harmful(tmp_path / "made")}, file, _use_new_zipfile_serialization=zipped)
    model = TorchvisionModel.model_validate({"type": "torchvision:resnet18", "weights": "DEFAULT"})

    with pytest.raises(DataUnavailable, match="damaged"):
        model.build((3, 32, 32), 10)
    assert not (tmp_path / "made").exists()
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


def test_what_a_stopped_run_leaves_is_no_pickle() -> None:
    source = Path(checkpoint.__file__).read_text()

    assert "safetensors" in source
    assert "torch.load" not in source
