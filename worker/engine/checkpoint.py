"""What a stopped run needs to go on: one safetensors file, no pickle."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lrcore.jobs.job_spec import JobSpec
from lrcore.jobs.job_types import UnknownKind, kind_of
from lrcore.service import traces

Json = dict[str, Any]

UNFINISHED = ".tmp"

FORMAT = "2"  # raised when an older version cannot resume from a new checkpoint
READABLE_FORMATS = ("0.1.0", "1", FORMAT)  # those from which a resumed run still matches an undisturbed one bit for bit


@dataclass(frozen=True)
class Position:
    """Where a run stands, between two steps.

    Attributes:
        spec: what `key` gives for the job, so that the file of another job is never resumed.
        epoch: the epoch under way, or the next one.
        step: optimizer steps of it that are done.
        seconds: time spent in them.
        epochs: JSON of every finished epoch.
        best: JSON of the best epoch so far; None before the first is finished.
        plateau: state of a metric-driven schedule, or None.
        losses: of every step so far, where the run goes by them.
        stale: epochs since the last one that early stopping counts as an improvement, and its value.
        runs: of runs that train together, the position of each and what else it has come to.
    """

    spec: str
    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    epochs: list[Json] = field(default_factory=list)
    best: Json | None = None
    plateau: Json | None = None
    losses: list[float] = field(default_factory=list)
    stale: tuple[int, float | None] = (0, None)
    runs: list[Json] = field(default_factory=list)


def key(*specs: JobSpec) -> str:
    """What a checkpoint is of: format, kind of job, and the JSON of each run, one after the other."""
    return " ".join((FORMAT, specs[0].kind, *(spec.model_dump_json() for spec in specs)))


def _same(stored: str, wanted: str) -> bool:
    """Whether two keys mean the same. Texts may differ: a version writes the fields that it has in its own order."""
    if stored == wanted:
        return True
    form, _, rest = stored.partition(" ")
    try:
        return form in READABLE_FORMATS and _specs(rest) == _specs(wanted.partition(" ")[2])
    except (ValueError, UnknownKind):  # pydantic's and json's errors are ValueErrors
        return False


def _specs(text: str) -> list[JobSpec]:
    """The specs of a key without its format; before there were several kinds, none was named."""
    kind, _, rest = ("training", "", text) if text.startswith("{") else text.partition(" ")
    found, at = [], 0
    while at < len(rest):
        _, end = json.JSONDecoder().raw_decode(rest, at)
        found.append(kind_of(kind).model_validate_json(rest[at:end]))
        at = end + 1
    return found


def save_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write tensors by name in one move: a reader finds the old file or the new one, never half of it."""
    os.replace(_write(path, {name: _on_cpu(tensor) for name, tensor in weights.items()}), path)


@traces.traced("checkpoint")
def save(
    path: Path,
    parts: Mapping[str, Mapping[str, Tensor]],
    position: Position,
    ask: Callable[[], object] = lambda: None,
) -> None:
    """Write a checkpoint, in one move. The one before it stays beside it.

    Args:
        parts: tensors by name for each part of the run, such as model and best.
        ask: called once all is written, before the move; what it raises leaves everything as it was.
    """
    tensors = {f"{part}.{name}": _on_cpu(t) for part, named in parts.items() for name, t in named.items()}
    unfinished = _write(path, tensors, {"position": json.dumps(asdict(position))}, ask)
    with contextlib.suppress(FileNotFoundError):
        os.replace(path, _before(path))
    os.replace(unfinished, path)


def load(path: Path, spec: str) -> tuple[dict[str, dict[str, Tensor]], Position] | None:
    """The parts and the position that were saved last, or before that if the last file is damaged.

    Returns None if there is no usable checkpoint of this spec.
    """
    return _load(path, spec) or _load(_before(path), spec)


def _load(path: Path, spec: str) -> tuple[dict[str, dict[str, Tensor]], Position] | None:
    try:
        with safe_open(path, framework="pt") as file:
            position = Position(**json.loads(file.metadata()["position"]))
            if not _same(position.spec, spec):
                return None
            parts: dict[str, dict[str, Tensor]] = {}
            for key in file.keys():  # noqa: SIM118  # not a dict
                part, _, name = key.partition(".")
                parts.setdefault(part, {})[name] = file.get_tensor(key)
            if not position.runs:  # before format 2, a run that was alone was no list of one
                position = replace(position, runs=[{"at": asdict(position), "ended": None}])
                parts = {f"0-{part}": named for part, named in parts.items()}
            position = Position(spec, position.epoch, position.step, position.seconds, runs=position.runs)
    except (FileNotFoundError, SafetensorError, TypeError, KeyError, ValueError):  # half of a file, or no checkpoint
        return None
    return parts, position


def optimizer_state(optimizers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """The state of optimizers by names such as 0.3.momentum_buffer: optimizer, parameter, key."""
    return {
        f"{i}.{index}.{key}": value
        for i, optimizer in enumerate(optimizers)
        for index, state in optimizer.state_dict()["state"].items()
        for key, value in state.items()
        if isinstance(value, Tensor)
    }


def load_optimizer_state(optimizers: list[torch.optim.Optimizer], saved: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_state` gave: with its own types, and with the parameters' strides.

    Torch's load_state_dict would cast NAdam's products to the parameters' type and keep the strides of the file, which
    fused kernels refuse.
    """
    owners = [
        [(parameter, group) for group in optimizer.param_groups for parameter in group["params"]]
        for optimizer in optimizers
    ]
    for name, value in saved.items():
        i, index, key = name.split(".", 2)
        parameter, group = owners[int(i)][int(index)]
        if value.ndim and value.shape == parameter.shape:
            value = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        elif group.get("capturable") or group.get("fused"):  # else torch counts on the CPU
            value = value.to(parameter.device)
        optimizers[int(i)].state[parameter][key] = value


def _before(path: Path) -> Path:
    return path.with_suffix(".before")


def _on_cpu(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous()


def _write(
    path: Path,
    tensors: dict[str, Tensor],
    metadata: dict[str, str] | None = None,
    ask: Callable[[], object] = lambda: None,
) -> Path:
    """The tensors in a file beside `path`, with a name of its own: a process that was believed dead may write, too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{secrets.token_hex(4)}{UNFINISHED}")
    try:
        save_file(tensors, unfinished, metadata=metadata)
        ask()
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return unfinished


def remove_unfinished(folder: Path) -> None:
    """Remove what a process has left that was killed while it wrote."""
    for file in folder.glob(f"*{UNFINISHED}"):
        file.unlink(missing_ok=True)
