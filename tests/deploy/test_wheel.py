"""What is installed elsewhere: the wheel's files, and by `make test-wheel` the wheel at work in empty environments."""

from __future__ import annotations

import email
import json
import os
import re
import subprocess
import sys
import tarfile
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from lrcore import __version__
from lrserve.supervisor import free_port
from tests.conftest import until

ROOT = Path(__file__).parents[2]
PACKAGES = ("lrcore", "lrserve", "lrserve/api", "lrserve/worker")
LINKS = ("lrserve/api", "lrserve/worker")  # to folders beside lrserve, whose files the wheel has in it
TORCH = os.environ.get("TORCH", "torch==2.13.0 torchvision==0.28.0").split()
PYTHON = os.environ.get("WHEEL_PYTHON") or sys.executable  # that the empty environments have


def built(target: str, source: Path, folder: Path) -> Path:
    """The wheel or the sdist of a tree of sources."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    return next(file for file in folder.iterdir() if file.suffix in (".whl", ".gz"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


def contents(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    return contents(wheel)


def read(wheel: Path, name: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(next(each for each in archive.namelist() if each.endswith(f".dist-info/{name}"))).decode()


def test_the_wheel_has_every_file_of_the_packages_and_no_other(names: list[str]) -> None:
    command = ["git", "ls-files", "lrcore", "lrserve", "api", "worker"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    if not listed:
        pytest.skip("there is no repository here")

    inside = {name if name.startswith("lr") else f"lrserve/{name}" for name in listed} - set(LINKS)
    assert {name for name in names if ".dist-info/" not in name} == inside


def test_the_names_that_it_takes_are_ours_alone(names: list[str]) -> None:
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"lrcore", "lrserve"}


def test_types_are_for_who_installs_it(names: list[str]) -> None:
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)


def test_the_version_stands_in_one_place(wheel: Path) -> None:
    metadata = email.message_from_string(read(wheel, "METADATA"))

    assert (metadata["Name"], metadata["Version"]) == ("lrserve", __version__)
    assert "lrserve = lrserve.main:app" in read(wheel, "entry_points.txt")


def test_without_extras_it_asks_for_what_the_client_needs(wheel: Path) -> None:
    metadata = email.message_from_string(read(wheel, "METADATA"))
    plain = {each.split(">")[0] for each in metadata.get_all("Requires-Dist") or () if "extra ==" not in each}

    assert plain == {"httpx", "numpy", "pydantic", "rich", "typer"}


def test_the_wheel_carries_its_licence(wheel: Path) -> None:
    metadata = email.message_from_string(read(wheel, "METADATA"))

    assert (metadata["License-Expression"], metadata.get_all("License-File")) == ("Apache-2.0", ["LICENSE"])
    assert read(wheel, "licenses/LICENSE") == (ROOT / "LICENSE").read_text()


def test_the_supported_pythons_are_the_same_everywhere(wheel: Path) -> None:
    metadata = email.message_from_string(read(wheel, "METADATA"))
    [made] = re.findall(r'^supported="(.*)"', (ROOT / ".ci" / "venv").read_text(), re.MULTILINE)
    classified = [
        each.split(" :: ")[-1] for each in metadata.get_all("Classifier") or () if re.search(r"Python :: 3\.\d", each)
    ]
    first, last = made.split()[0], made.split()[-1]

    assert made.split() == classified
    assert set(metadata["Requires-Python"].split(",")) == {f">={first}", f"<3.{int(last.split('.')[1]) + 1}"}
    for page in ("README.md", "README.zh.md", "docs/install.md"):
        assert re.search(rf"{first}\D+{last}\b", (ROOT / page).read_text()), page


def test_the_sdist_makes_the_same_wheel(sdist: Path, names: list[str], tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    [tree] = tmp_path.iterdir()

    assert (tree / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert sorted(contents(built("wheel", tree, tmp_path / "again"))) == sorted(names)


@pytest.mark.deploy
@pytest.mark.timeout(900)
def test_twine_accepts_wheel_and_sdist(wheel: Path, sdist: Path, tmp_path: Path) -> None:
    twine = installed(tmp_path / "env", "twine>=6").with_name("twine")

    done = subprocess.run([twine, "check", "--strict", wheel, sdist], capture_output=True, text=True)

    assert done.returncode == 0, done.stdout
    assert done.stdout.count("PASSED") == 2


@pytest.mark.parametrize("python", ["nowhere/python", "old/python"])
def test_an_unsuitable_python_is_refused_before_anything_is_downloaded(python: str, tmp_path: Path) -> None:
    old = tmp_path / "old" / "python"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\n[ $1 = --version ] && echo Python 3.10.4\nexit 1\n")
    old.chmod(0o755)

    make = ["make", f"PYTHON={tmp_path / python}", "-f", ROOT / "Makefile", "demo"]
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / ".ci").symlink_to(ROOT / ".ci")
    done = subprocess.run(make, cwd=tmp_path, capture_output=True, text=True)

    assert done.returncode == 2
    assert "lrserve needs one of Python 3.11 3.12 3.13 3.14" in done.stderr
    assert "make PYTHON=/path/to/python3.12" in done.stderr
    assert ("Python 3.10.4" in done.stderr) == (python == "old/python")
    assert not (tmp_path / ".venv").exists()


@pytest.mark.slowest
def test_a_supported_python_is_found_where_python3_is_none(tmp_path: Path) -> None:
    for name, text in (("python3", "exit 1"), ("python3.12", f'exec "{sys.executable}" "$@"')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:/nowhere"}

    subprocess.run(["/bin/sh", ROOT / ".ci" / "venv", tmp_path / "made"], env=environment, check=True)

    assert (tmp_path / "made" / "bin" / "python").exists()


def installed(folder: Path, *wanted: str) -> Path:
    """An empty environment with these, installed as a user would; its python."""
    subprocess.run([PYTHON, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    for each in wanted:
        subprocess.run([python, "-m", "pip", "install", "--quiet", *each.split()], check=True, cwd=folder)
    return python


def outside(folder: Path) -> dict[str, str]:
    """An environment that knows nothing of this project."""
    folder.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LRSERVE_", "PYTHON"))}
    return kept | {"HOME": str(folder), "COLUMNS": "120"}


@pytest.fixture(scope="module")
def whole(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    return installed(folder / "env", " ".join(TORCH), f"lrserve[all]@file://{wheel}")


@pytest.fixture(scope="module")
def light(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(tmp_path_factory.mktemp("light") / "env", f"lrserve@file://{wheel}")


@pytest.fixture(scope="module")
def server(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(tmp_path_factory.mktemp("server") / "env", f"lrserve[server]@file://{wheel}")


@pytest.fixture
def served(server: Path, tmp_path: Path) -> Iterator[str]:
    port = free_port()
    command = [server.with_name("lrserve"), "api", "--port", str(port)]
    api = subprocess.Popen(command, env=outside(tmp_path / "home"), cwd=tmp_path, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        until(lambda: asked(f"{url}/healthz"))
        yield url
    finally:
        api.terminate()
        api.wait(30)


def asked(url: str) -> bytes:
    with suppress(OSError), urllib.request.urlopen(url, timeout=20) as answer:
        return bytes(answer.read())
    return b""


@pytest.mark.deploy
@pytest.mark.timeout(1800)
def test_an_empty_environment_has_the_demo_and_everything_else(whole: Path, tmp_path: Path) -> None:
    lrserve, environment = whole.with_name("lrserve"), outside(tmp_path / "home")

    def run(*arguments: str) -> str:
        return subprocess.run(
            [lrserve, *arguments], env=environment, cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    assert run("--version") == f"lrserve {__version__}\n"
    assert "Pictures:" in run("demo")
    assert sorted(file.name for file in (tmp_path / "lrserve-demo").iterdir()) == [
        "curve.png",
        "fixed-rate.png",
        "steplr.png",
    ]
    port = free_port()
    up = subprocess.Popen([lrserve, "up", "--port", str(port)], env=environment, cwd=tmp_path)
    try:
        url = f"http://127.0.0.1:{port}"
        until(lambda: json.loads(asked(f"{url}/readyz") or b"{}").get("workers") == 1, 120)
        assert b"<!doctype html>" in asked(f"{url}/")[:200].lower()
    finally:
        up.terminate()
        assert up.wait(60) == 0


@pytest.mark.deploy
@pytest.mark.timeout(900)
def test_without_the_worker_there_is_no_torch_and_all_of_the_curves(server: Path, served: str) -> None:
    found = subprocess.run([server, "-m", "pip", "list"], capture_output=True, text=True, check=True).stdout

    assert "torch" not in found.lower()
    assert json.loads(asked(f"{served}/v1/curves/StepLR?step_size=5&base_lr=0.1&steps=20"))["lr"][5] == 0.1 * 0.1
    assert asked(f"{served}/v1/curves/StepLR?step_size=5&base_lr=0.1&steps=20&format=png").startswith(b"\x89PNG")
    assert len(json.loads(asked(f"{served}/v1/models"))["models"]) > 10


@pytest.mark.deploy
@pytest.mark.timeout(900)
@pytest.mark.parametrize("command", ["worker", "up", "demo"])
def test_without_torch_a_worker_says_what_to_install(command: str, server: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [server.with_name("lrserve"), command],
        env=outside(tmp_path / "home"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1
    assert done.stderr.startswith("lrserve: a worker needs torch")
    assert "pip install 'lrserve[worker]'" in done.stderr


MOST_DISTRIBUTIONS, MOST_BYTES = 20, 90_000_000
HEAVY = {"celery", "fastapi", "kombu", "matplotlib", "plotly", "redis", "starlette", "torch", "uvicorn"}


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and file.suffix != ".pyc")


@pytest.mark.deploy
@pytest.mark.timeout(900)
def test_the_client_alone_is_light(light: Path, tmp_path: Path) -> None:
    listed = subprocess.run(
        [light, "-m", "pip", "list", "--format=json"], capture_output=True, text=True, check=True
    ).stdout
    found = {each["name"].lower() for each in json.loads(listed)} - {"pip", "setuptools"}
    packages = next((light.parents[1] / "lib").glob("python*/site-packages"))
    tools = sum(size(packages / name) for name in ("pip", "setuptools") if (packages / name).exists())

    assert len(found) <= MOST_DISTRIBUTIONS, found
    assert not found & HEAVY
    assert size(packages) - tools <= MOST_BYTES


@pytest.mark.deploy
@pytest.mark.timeout(900)
def test_the_client_alone_draws_curves_and_says_what_the_rest_needs(light: Path, tmp_path: Path) -> None:
    code = """
import sys, lrserve
print(sorted(name for name in sys.modules if name.split(".")[0] in ("numpy", "pydantic", "httpx", "lrserve", "lrcore")))
print(lrserve.curve({"type": "StepLR", "step_size": 2}, steps=3, base_lr=1.0).tolist(), lrserve.Client().url)
"""
    done = subprocess.run([light, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    lrserve = light.with_name("lrserve")
    up = subprocess.run([lrserve, "up"], cwd=tmp_path, capture_output=True, text=True)
    drawn = subprocess.run(
        [lrserve, "curve", "StepLR", "step_size=2", "--base-lr", "0.1", "--steps", "4"],
        env=outside(tmp_path / "home"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert [line.split()[:2] for line in drawn.splitlines()[1:]] == [
        ["0", "0.1"],
        ["1", "0.1"],
        ["2", "0.01"],
        ["3", "0.01"],
    ]
    assert done.stdout == "['lrcore', 'lrserve']\n[1.0, 1.0, 0.1] http://127.0.0.1:8000\n"
    assert (up.returncode, up.stderr.startswith("lrserve: this needs ")) == (1, True), up.stderr
    assert "pip install 'lrserve[all]'" in up.stderr
