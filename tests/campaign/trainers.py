"""What the frameworks with a training loop of their own draw with code that was written for them."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from lrcore.schedules import Rates


def drawn(framework: str, code: str, n: int, base_lr: float) -> Rates:
    """Return the first n rates. Raises ImportError if the framework is not installed."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=base_lr)
    return {"deepspeed": _deepspeed, "mmengine": _mmengine, "composer": _composer}[framework](code, n, optimizer)


def _rate(optimizer: torch.optim.Optimizer) -> float:
    return float(optimizer.param_groups[0]["lr"])


def defined(code: str) -> dict[str, Any]:
    """What the code defines."""
    namespace: dict[str, Any] = {}
    exec(compile(code, "<generated>", "exec"), namespace)
    return namespace


def _deepspeed(code: str, n: int, optimizer: torch.optim.Optimizer) -> Rates:
    from deepspeed.runtime import lr_schedules

    block = json.loads(code)["scheduler"]
    scheduler = getattr(lr_schedules, block["type"])(optimizer, **block["params"])
    found = []
    for _ in range(n):  # its engine steps after each update
        found.append(_rate(optimizer))
        scheduler.step()
    return np.array(found)


def _mmengine(code: str, n: int, optimizer: torch.optim.Optimizer) -> Rates:
    import mmengine.optim  # noqa: F401  # registers its schedulers
    from mmengine.registry import PARAM_SCHEDULERS

    PARAM_SCHEDULERS.module_dict.pop("FormulaLR", None)
    items = defined(code)["param_scheduler"]
    schedulers = [PARAM_SCHEDULERS.build(dict(item), default_args={"optimizer": optimizer}) for item in items]
    found = []
    for _ in range(n):  # its hook steps each of them after each iteration
        found.append(_rate(optimizer))
        for scheduler in schedulers:
            scheduler.step()
    return np.array(found)


def _composer(code: str, n: int, optimizer: torch.optim.Optimizer) -> Rates:
    from composer.core import Time, Timestamp
    from composer.optim.scheduler import compile_composer_scheduler

    state: Any = SimpleNamespace(optimizers=[optimizer], max_duration=Time(n, "ba"), dataloader_len=None)
    state.timestamp = Timestamp()
    scheduler = compile_composer_scheduler(defined(code)["schedule"], state)
    found = []
    for _ in range(n):  # its trainer counts the batch, and then steps
        found.append(_rate(optimizer))
        state.timestamp = state.timestamp.to_next_batch(1)
        scheduler.step()
    return np.array(found)
