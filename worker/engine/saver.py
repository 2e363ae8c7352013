"""When a run writes its checkpoint, and that it goes on without one that cannot be written."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors import SafetensorError
from torch import Tensor

from . import checkpoint as checkpoints
from .checkpoint import Position

log = logging.getLogger("lrserve.engine")

SAVE_SECONDS = 10.0  # between two checkpoints; more if writing one takes long
SAVE_SHARE = 0.02  # of the time may go into checkpoints


class Saver:
    """Writes the checkpoints of a run, or of runs that train together.

    A process that was frozen may have lost its run to another one, whose checkpoint lies in the same place. So it is
    asked at the last moment whether there is still something to write.

    Args:
        path: where the checkpoint lies; None if there is to be none.
        ask: called before a new checkpoint takes the place of the one before, wherever it is written from; raises
            if that is no longer for this process to do. What it returns does not matter.
        saved: called after each checkpoint that was written.
    """

    def __init__(
        self, path: Path | None, ask: Callable[[], object], saved: Callable[[], object] = lambda: None
    ) -> None:
        self._path, self._ask, self._saved = path, ask, saved
        self._saved_at, self._took = time.perf_counter(), 0.0

    @property
    def due(self) -> bool:
        """Whether the last checkpoint was long enough ago."""
        waited = time.perf_counter() - self._saved_at
        return self._path is not None and waited > max(SAVE_SECONDS, self._took / SAVE_SHARE)

    def save(self, parts: Callable[[], Mapping[str, Mapping[str, Tensor]]], position: Callable[[], Position]) -> None:
        """Write a checkpoint of what these return, called in this order. Raises what `ask` does."""
        if self._path is None:
            return
        start = time.perf_counter()
        try:
            checkpoints.save(self._path, parts(), position(), self._ask)
        except (OSError, SafetensorError) as error:  # a full disk, say: the one before is still there
            log.warning("no checkpoint: %s", error)
        else:
            self._saved()
        self._saved_at = time.perf_counter()
        self._took = self._saved_at - start
