from __future__ import annotations

from lrcore.jobs.states import MOVES, State

LEGAL = {
    ("queued", "running"),
    ("queued", "cancelled"),
    ("queued", "paused"),
    ("running", "paused"),
    ("paused", "queued"),
    ("paused", "cancelled"),
    ("running", "queued"),
    ("running", "succeeded"),
    ("running", "failed"),
    ("running", "cancelled"),
}


def test_only_the_moves_of_the_contract_are_legal() -> None:
    assert {(before.value, after.value) for before in MOVES for after in MOVES[before]} == LEGAL


def test_every_state_has_its_moves() -> None:
    assert set(MOVES) == set(State)


def test_ended_are_the_states_that_no_move_leaves() -> None:
    assert {state for state in State if state.ended} == {State.SUCCEEDED, State.FAILED, State.CANCELLED}
