"""`lrserve curve` where no server runs."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from lrserve.main import app
from lrserve.supervisor import free_port
from tests.lrserve.test_commands import process


def test_a_curve_is_drawn_without_a_server() -> None:
    done = process("curve", "StepLR", "step_size=2", "gamma=0.5", "--base-lr", "0.1", "--base-lr", "1", "--steps", "3")

    rows = [line.split()[:2] for line in done.stdout.splitlines() if line and not line.startswith("step")]
    assert rows == [["0", "0.1"], ["1", "0.1"], ["2", "0.05"], ["0", "1"], ["1", "1"], ["2", "0.5"]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["StepLR", "step_size=0", "--base-lr", "1"], "schedule.step_size: Input should be greater than or equal to 1"),
        (["StepLRR", "--base-lr", "1"], "schedule: there is no schedule StepLRR; did you mean StepLR?"),
        (["StepLR", "step_size=2"], "StepLR needs the initial rate"),
    ],
)
def test_without_a_server_a_wrong_schedule_is_refused_by_field(arguments: list[str], words: str) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lrserve.client.DEFAULT_URL", nobody)
        done = CliRunner(env={"COLUMNS": "160"}).invoke(app, ["curve", *arguments])

    assert (done.exit_code, words in done.output) == (2, True), done.output
