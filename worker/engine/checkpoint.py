"""What a stopped run needs to go on: one safetensors file, no pickle."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn


@dataclass(frozen=True)
class Position:
    """Where a run stands between two epochs.

    Attributes:
        epoch: the next epoch to train.
        spec: JSON of the job, so that a file of another job is never taken up.
        best: epoch and test accuracy of the best epoch so far.
        plateau: state of a metric-driven schedule.
    """

    epoch: int
    spec: str
    best: tuple[int, float] | None
    plateau: dict[str, Any] | None


def save(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, position: Position) -> None:
    """Write the checkpoint in one move: a reader finds the old file or the new one, never half of it."""
    tensors = {f"model.{name}": tensor.contiguous() for name, tensor in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": v.contiguous() for k, v in state.items() if isinstance(v, torch.Tensor)}
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    save_file(tensors, unfinished, metadata={"position": json.dumps(vars(position))})
    os.replace(unfinished, path)


def load(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, spec: str) -> Position | None:
    """Put model and optimizer back as they were; None if there is no usable checkpoint of this spec."""
    try:
        with safe_open(path, framework="pt") as file:
            position = _position(**json.loads(file.metadata()["position"]))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
    except (FileNotFoundError, SafetensorError):
        return None
    if position.spec != spec:
        return None
    model.load_state_dict({n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")})
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return position


def _position(epoch: int, spec: str, best: list[Any] | None, plateau: dict[str, Any] | None) -> Position:
    """A position as JSON keeps it: without tuples."""
    return Position(epoch, spec, (best[0], best[1]) if best else None, plateau)
