"""Where runs are trained, and torch's global settings for them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Required, TypedDict

import torch

from lrcore.jobs.training_spec import TrainingSpec

from .data import DTYPES, Data, load
from .memory import give_back


class RunArguments(TypedDict, total=False):
    """What every way to train takes beside its specs and hooks: the fields of RunContext, `data_root` at least."""

    data_root: Required[Path]
    device: torch.device | None
    folder: Path | None
    memory: int | None


class RunContext:
    """Where runs are trained.

    Args:
        data_root: folder of the data sets.
        device: where to train; the first GPU, or the CPU, if None.
        folder: takes the checkpoint, from which the same call resumes, and at the end the best and the last weights.
        memory: bytes of images kept on the device; half of what is free if None.
    """

    def __init__(
        self, data_root: Path, device: torch.device | None = None, folder: Path | None = None, memory: int | None = None
    ) -> None:
        self.data_root, self.device, self.folder, self.memory = data_root, device or pick_device(), folder, memory

    def within(self, name: str) -> RunContext:
        """Return the context of a part of the work: its folder lies in this one's."""
        return RunContext(self.data_root, self.device, self.folder and self.folder / name, self.memory)

    def load(self, spec: TrainingSpec) -> Data:
        """Load the data of a run. Raises DataUnavailable and SpecError."""
        return load(spec.dataset, self.data_root, self.device, DTYPES[spec.precision], self.memory)

    @contextlib.contextmanager
    def session(self, spec: TrainingSpec) -> Iterator[None]:
        """Set torch's state as the run needs it for the block, and return unused memory of a GPU to it afterwards.

        What the block's own function holds is still in use then: load and train in a function that it calls.
        """
        try:
            with torch_state(spec, self.device):
                yield
        finally:
            if self.device.type == "cuda":  # another process may need it
                give_back(self.device)


@contextlib.contextmanager
def torch_state(spec: TrainingSpec, device: torch.device) -> Iterator[None]:
    """Torch's global state as the run needs it, and as it was afterwards."""
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic, torch.are_deterministic_algorithms_enabled()
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        cudnn.benchmark = device.type == "cuda" and not spec.deterministic
        if spec.deterministic:
            cudnn.deterministic = True
            torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            cudnn.benchmark, cudnn.deterministic = before[:2]
            torch.use_deterministic_algorithms(before[2])


def pick_device() -> torch.device:
    """Choose the first GPU, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
