"""Image folders: counted, read, and never left."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from lrcore.datasets import image_folder
from lrcore.datasets._base import Files
from lrcore.datasets._torchvision import torchvision_datasets
from lrcore.datasets.image_folder import ImageFiles, ImageFolder
from lrcore.errors import DataUnavailable
from tests.lrcore.datasets import Pixels, made, pixels, refusal

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
    (pets / "train" / "dog" / "a.png").unlink()
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
