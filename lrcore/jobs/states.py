"""The states of a job and the only moves between them.

          claim              finish
queued ----------> running ----------> succeeded | failed | cancelled
  |   <----------     |                                 ^
  |     release,      | pause                           |
  |     lease lost    v                                 |
  |   ----------> paused                                |
  |     pause       |                                   |
  |   <----------   |                                   |
  |     resume      |                                   |
  +-----------------+-----------------------------------+
                        cancel
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a job is. An ended job never changes again."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether no move leads out of the state."""
        return not MOVES[self]


class RunState(StrEnum):
    """Where a run of an experiment is; a pruned one was stopped because others were better."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PRUNED = "pruned"

    @property
    def ended(self) -> bool:
        """Whether the run never changes again."""
        return self not in (RunState.QUEUED, RunState.RUNNING)


MOVES: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.RUNNING, State.PAUSED, State.CANCELLED}),
    State.RUNNING: frozenset({State.QUEUED, State.PAUSED, State.SUCCEEDED, State.FAILED, State.CANCELLED}),
    State.PAUSED: frozenset({State.QUEUED, State.CANCELLED}),
    State.SUCCEEDED: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELLED: frozenset(),
}
