"""Bytes from outside become a spec or a refusal: soon, in little memory, and by no other way."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.security import targets

ROOT = Path(__file__).parents[2]
CORPUS = Path(__file__).parent / "corpus"  # what once broke something: the target's name, then what it is
AT_ONCE = 100_000  # inputs of a process, whose corpus grows in memory
NO_FUZZER = pytest.mark.skipif(
    find_spec("atheris") is None, reason="atheris is not installed: no wheel for this system"
)


@pytest.fixture
def bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lower bounds of the fuzz, for one test."""
    for (module, name), value in targets.BOUNDS.items():
        monkeypatch.setattr(module, name, value)


@pytest.mark.parametrize("file", sorted(CORPUS.iterdir()), ids=lambda file: file.name)
@pytest.mark.usefixtures("bounded")
def test_what_once_broke_something_does_no_more(file: Path) -> None:
    target = targets.TARGETS[file.name.partition("-")[0]]
    target(file.read_bytes())  # warm
    targets.judged(target, file.read_bytes())


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (lambda data: bool(b"a" * 300 * 2**20), r"[23]\d\d MB with"),
        (lambda data: any(i < 0 for i in range(3_000_000)), " ms for"),
    ],
    ids=["memory", "time"],
)
def test_what_takes_too_much_is_told(target: Callable[[bytes], bool], why: str) -> None:
    with pytest.raises(targets.Broken, match=why):
        targets.judged(target, b"input")


def fuzzed(target: str, folder: Path, runs: int, seed: int) -> tuple[int, int]:
    """How many inputs a fuzzing process made, and how many of them were accepted."""
    command = [sys.executable, "-m", "tests.security.fuzz", target, str(folder / target)]
    done = subprocess.run(
        [*command, "--runs", str(runs), "--seed", str(seed)],
        capture_output=True,
        text=True,
        errors="replace",
        cwd=ROOT,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    broken = [file.read_bytes() for file in folder.glob("*-*") if file.is_file()]
    assert done.returncode == 0, f"{broken}\n{done.stderr[-5000:]}"
    made = re.search(r"Done (\d+) runs", done.stderr)
    assert made is not None, done.stderr[-2000:]
    accepted = (folder / target).with_suffix(".count").read_text().split()[1]
    return int(made[1]), int(accepted)


@pytest.mark.sampled(2)
@pytest.mark.slow
@NO_FUZZER
@pytest.mark.parametrize("target", targets.TARGETS)
def test_no_input_breaks_what_reads_it(target: str, tmp_path: Path) -> None:
    made, accepted = fuzzed(target, tmp_path, 10_000, seed=1)
    assert made >= 10_000
    assert accepted >= 100


@NO_FUZZER
@pytest.mark.security
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("target", targets.TARGETS)
def test_no_input_of_half_a_million_breaks_what_reads_it(target: str, tmp_path: Path) -> None:
    each = [fuzzed(target, tmp_path, AT_ONCE, seed) for seed in range(2, 7)]
    made, accepted = (sum(numbers) for numbers in zip(*each, strict=True))
    print(f"{target}: {made} inputs, {accepted} of them accepted")
    assert made >= 500_000
