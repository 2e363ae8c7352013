"""How this worker does: what it runs on, and how fast it trains."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence

import torch

from lrcore import __version__, plugins
from lrcore.store.service_stats import WorkerStats

from .engine import pick_device


class StatsSampler:
    """Takes a worker's statistics, each time since the time before.

    Args:
        hardware: labels of the worker.
        trained: whether it has a job; and steps and images that it has trained so far, over all its jobs.
    """

    def __init__(self, hardware: Sequence[str], trained: Callable[[], tuple[bool, int, float]]) -> None:
        self._hardware, self._trained = tuple(hardware), trained
        self._plugins = tuple(map(str, plugins.load()))
        self._device = pick_device()
        self._before = time.monotonic(), 0, 0.0

    def take(self) -> WorkerStats:
        """How the worker does now."""
        busy, steps, images = self._trained()
        at, steps_before, images_before = self._before
        self._before = now, *_ = time.monotonic(), steps, images
        seconds = max(now - at, 1e-3)
        on_gpu = self._device.type == "cuda"
        free, total = _memory(self._device) if on_gpu else (None, None)
        return WorkerStats(
            version=__version__,
            host=socket.gethostname(),
            hardware=self._hardware,
            plugins=self._plugins,
            device=torch.cuda.get_device_name(self._device) if on_gpu else "cpu",
            torch=torch.__version__,
            busy=busy,
            steps_per_second=round((steps - steps_before) / seconds, 3),
            images_per_second=round((images - images_before) / seconds, 3),
            memory_used=None if free is None or total is None else total - free,
            memory_total=total,
        )


def _memory(device: torch.device) -> tuple[int | None, int | None]:
    """Free bytes and all, if the card says."""
    try:
        free, total = torch.cuda.mem_get_info(device)
    except RuntimeError:  # a card that has failed: the job will say so
        return None, None
    return int(free), int(total)
