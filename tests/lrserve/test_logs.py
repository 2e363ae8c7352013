"""Logs as other programs write them, through the real command and service."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lrcore.curve import CurveRequest, sample
from lrserve.logs import LogError, parse_log, read_log
from tests.conftest import Service
from tests.lrserve.test_commands import lrserve

COSINE = {"type": "cosine", "num_warmup_steps": 50, "num_training_steps": 1000}
STEP = list(range(10, 1000, 10))
RATES: list[float] = (
    sample(CurveRequest.model_validate({"schedule": COSINE, "base_lr": 3e-4, "start": 10, "stride": 10, "steps": 99}))
    .lr[0]
    .tolist()
)
PAIRS = list(zip(STEP, RATES, strict=True))


def tensorboard() -> bytes:
    rows = "".join(f"{1700000000.5 + i},{step},{rate}\n" for i, (step, rate) in enumerate(PAIRS))
    return f"Wall time,Step,Value\n{rows}".encode()


def wandb() -> bytes:
    name = "happy-sun-7 - train/learning_rate"
    rows = "".join(f'"{step}","{rate}","{rate}","{rate}"\n' for step, rate in PAIRS)
    return f'"Step","{name}","{name}__MIN","{name}__MAX"\n{rows}'.encode()


def trainer_state() -> bytes:
    history: list[dict[str, Any]] = []
    for step, rate in PAIRS:
        history.append({"epoch": step / 100, "loss": 2.5, "learning_rate": rate, "step": step})
        if step % 100 == 0:
            history.append({"epoch": step / 100, "eval_loss": 2.0, "step": step})
    history.append({"epoch": 10.0, "step": 1000, "train_loss": 2.1, "total_flos": 1e15})
    return json.dumps({"best_metric": None, "global_step": 1000, "log_history": history}, indent=2).encode()


def json_lines() -> bytes:
    return "".join(json.dumps({"loss": 2.5, "lr": rate, "step": step}) + "\n" for step, rate in PAIRS).encode()


def json_lists() -> bytes:
    return json.dumps({"step": STEP, "learning_rate": RATES}).encode()


def excel_german() -> bytes:
    rows = "".join(f"{step};{rate:.17g};\r\n".replace(".", ",") for step, rate in PAIRS)
    return b"\xef\xbb\xbf" + f"Step;Learning Rate;Note\r\n{rows}".encode()


def excel_unicode_text() -> bytes:
    rows = "".join(f"{step}\t{rate:.17g}\r\n".replace(".", ",") for step, rate in PAIRS)
    return f"step\tlr\r\n{rows}".encode("utf-16")


def pandas_with_empty_cells() -> bytes:
    rows = "".join(f"{i},{step},{rate},\n{i}.5,{step + 5},,0.9\n" for i, (step, rate) in enumerate(PAIRS))
    return f",global_step,lr,accuracy\n{rows}".encode()


def two_columns_without_names() -> bytes:
    return "".join(f"{step}, {rate}\n" for step, rate in PAIRS).encode()


FILES: list[Callable[[], bytes]] = [
    tensorboard,
    wandb,
    trainer_state,
    json_lines,
    json_lists,
    excel_german,
    excel_unicode_text,
    pandas_with_empty_cells,
    two_columns_without_names,
]


@pytest.mark.parametrize("write", FILES, ids=lambda write: write.__name__)
def test_a_log_leads_to_its_schedule_in_steps(write: Callable[[], bytes], service: Service, tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(write())

    done = lrserve("fit", str(file), "--json", url=service.url)

    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found[0]["exact"]
    assert COSINE in [each["schedule"] for each in found]


@pytest.mark.parametrize(
    ("text", "lr", "step"),
    [
        ("0.4\n0.2\n", [0.4, 0.2], None),
        ("0.4 0.2 0.1", [0.4, 0.2, 0.1], None),
        ("lr\n0,4\n0,2\n", [0.4, 0.2], None),
        ("[0.4, 0.2]", [0.4, 0.2], None),
        ('{"lr": 0.4}\n\n{"lr": 0.2}\n', [0.4, 0.2], None),
        ("Step,lr\n1.0,0.4\n2.0,0.2\n", [0.4, 0.2], [1, 2]),
        ("Step,lr\n1,0.4\n1,0.4\n2,0.2\n", [0.4, 0.2], [1, 2]),
        ("Step,lr\n1,\n2,0.4\n3, \n4,0.2\n", [0.4, 0.2], [2, 4]),
        ('{"a": [1, 2], "lr": [0.4, 0.2]}', [0.4, 0.2], None),
        ("run;epoch;LR\n1;1;1e-3\n1;2;5e-4\n", [1e-3, 5e-4], None),
    ],
)
def test_rates_are_read_however_they_are_written(text: str, lr: list[float], step: list[int] | None) -> None:
    found = parse_log(text)

    assert (found.lr, found.step) == (lr, step)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file has no rates: write one per line"),
        ("step,lr\n", "the file has no rates: write one per line"),
        ("0.1\n", "at least 2"),
        ("step,lr\n0,0.1\n1,nan\n", "line 3, column 'lr': nan is not a finite number: leave the row out"),
        ("step,lr\n0,0.1\n1,oops\n", "line 3, column 'lr': 'oops' is not a number"),
        ("step,lr\n0,0.1\n1,-1\n", "line 3, column 'lr': -1 is negative"),
        ("step,lr\n0,0.1\n1.5,0.1\n", "line 3, column 'step': 1.5 is not a whole step"),
        ("step,lr\n0,0.1\n,0.1\n", "line 3, column 'step': the step is missing"),
        ("step,lr\n5,0.1\n4,0.1\n", "line 3, column 'step': step 4 does not come after 5"),
        ("0,4\n0,2\n", "line 2, column 'step': step 0 does not come after 0"),  # decimal commas need a name above
        ("1,2,3\n4,5,6\n", "line 1: the columns have no names"),
        ("step,loss\n0,1\n1,2\n", "no column looks like a learning rate: choose one of 'step', 'loss' with --column"),
        ("step,a lr,b lr\n0,1,2\n", "several columns may be the learning rate: choose one of 'a lr', 'b lr'"),
        ('{"lr": 0.1}\n{"lr": 0.1\n', "line 2: this is not JSON"),
        ('{"lr": 0.1}\n{"lr": NaN}\n', "line 2, column 'lr': nan is not a finite number"),
        ("[0.1, [0.2]]", r"line 2, the list: \[0.2\] is not a number"),
        ("[0.1, true]", "line 2, the list: true is not a number"),
        ("[0.1, 0.2", "line 1: this is not JSON"),
        ('{"lr": [0.1, 0.2], "step": [1]}', "lists of the JSON object have different lengths"),
        ("[" * 100_000, "nested too deep"),
    ],
)
def test_what_is_wrong_is_named_by_its_line(text: str, words: str) -> None:
    with pytest.raises(LogError, match=words):
        parse_log(text)


def test_the_command_reports_the_line(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text("step,lr\n" + "".join(f"{i},0.1\n" for i in range(15)) + "15,NaN\n")

    done = lrserve("fit", str(file), url=service.url)

    assert done.exit_code == 2
    assert "line 17, column 'lr': NaN is not a finite number" in done.stderr


def test_a_column_is_chosen_by_its_name() -> None:
    text = "step,a lr,b lr\n0,0.1,1\n1,0.2,2\n"

    assert parse_log(text, "B LR").lr == [1.0, 2.0]
    with pytest.raises(LogError, match="there is no column 'c': choose one of 'step', 'a lr', 'b lr'"):
        parse_log(text, "c")


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "log.xlsx"
    file.write_bytes(b"PK\x03\x04\xff\xfe\x80")

    with pytest.raises(LogError, match="is not UTF-8 text: save it as CSV"):
        read_log(str(file))
    with pytest.raises(LogError, match="No such file"):
        read_log(str(tmp_path / "none"))
