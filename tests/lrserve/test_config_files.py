"""Configurations in files, and the command that reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lrserve.config_files import MAX_BYTES, ConfigFileError, read_config
from lrserve.main import app

COSINE = {"scheduler": {"name": "cosine_with_warmup", "t_warmup": "100ba", "alpha_f": 0.1}, "max_duration": "4800ba"}
PYTHON = """
import os
_base_ = ["../default.py"]
max_epochs: int = 300
base_lr = 4e-3
marker = open("MARKER", "w").write("executed")
os.system("touch MARKER")
optim_wrapper = dict(optimizer=dict(type="AdamW", lr=base_lr), clip=unknown)
param_scheduler = [
    dict(type=LinearLR, start_factor=1.0e-5, by_epoch=False, begin=0, end=1000),
    dict(type="CosineAnnealingLR", eta_min=base_lr * 0.05, begin=max_epochs // 2, end=max_epochs, T_max=150),
]
def later(): param_scheduler = None
"""


def lrserve(*arguments: str, input: str = "") -> Any:
    return CliRunner(env={"COLUMNS": "200", "LRSERVE_URL": "http://127.0.0.1:1"}).invoke(app, arguments, input=input)


def written(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


YAML = """
scheduler: {name: cosine_with_warmup, t_warmup: 100ba, alpha_f: 0.1}
max_duration: 4800ba
"""
TOML = """
max_duration = "4800ba"
[scheduler]
name = "cosine_with_warmup"
t_warmup = "100ba"
alpha_f = 0.1
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.json", json.dumps(COSINE)), ("a.yaml", YAML), ("a.toml", TOML), ("a", YAML), ("b", json.dumps(COSINE))],
)
def test_a_file_is_read_by_its_suffix_or_its_beginning(tmp_path: Path, name: str, text: str) -> None:
    assert read_config(written(tmp_path, name, text)) == COSINE


def test_numbers_of_yaml_are_those_that_people_mean(tmp_path: Path) -> None:
    text = "a: 1e-4\nb: 6.0e-4\nc: .5\nd: 1_000\ne: 2026-01-01\nf: 100ba\ng: true\n1: 2\n"

    assert read_config(written(tmp_path, "a.yml", text)) == {
        "a": 1e-4, "b": 6e-4, "c": 0.5, "d": 1000, "e": "2026-01-01", "f": "100ba", "g": True, "1": 2,
    }  # fmt: skip


def test_python_is_parsed_and_never_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    found = read_config(written(tmp_path, "a.py", PYTHON))

    assert not (tmp_path / "MARKER").exists()
    assert found["optim_wrapper"] == {"optimizer": {"type": "AdamW", "lr": 0.004}}
    assert found["param_scheduler"][0]["type"] == "LinearLR"
    assert found["param_scheduler"][1]["eta_min"] == pytest.approx(2e-4)
    assert found["param_scheduler"][1]["begin"] == 150
    assert "marker" not in found


def test_the_first_section_of_a_name_counts(tmp_path: Path) -> None:
    text = "[net]\n# comment\nlearning_rate=0.001\nsteps=1,2\n[conv]\nsize=3\n[conv]\nsize=1\n"

    found = read_config(written(tmp_path, "yolo.cfg", text))

    assert found == {"net": {"learning_rate": 0.001, "steps": "1,2"}, "conv": {"size": 3}}


WRONG = {
    "an anchor": ("a.yaml", "a: &x [1]\nb: *x\n", "anchors"),
    "a tag": ("a.yaml", "a: !!python/object/apply:os.system ['true']\n", "not YAML"),
    "a key twice in YAML": ("a.yaml", "a: 1\na: 2\n", "comes twice"),
    "a key twice in JSON": ("a.json", '{"a": 1, "a": 2}', "comes twice"),
    "deep YAML": ("a.yaml", "[" * 200 + "]" * 200, "too deep"),
    "deeper YAML": ("a.yaml", "[" * 100_000, "too deep"),
    "deep JSON": ("a.json", "[" * 100_000 + "]" * 100_000, "too deep"),
    "deep Python": ("a.py", "a = " + "[" * 60 + "]" * 60, "too deep"),
    "deeper Python": ("a.py", "a = " + "[" * 5000 + "]" * 5000, "a.py"),
    "deep TOML": ("a.toml", "a = " + "[" * 5000 + "]" * 5000, "a.toml"),
    "no JSON": ("a.json", "{", "not JSON"),
    "no Python": ("a.py", "a = (", "line 1"),
    "a digit too many": ("a.json", "1" * 5000, "a.json"),
    "no text": ("a.yaml", "\x00", "a.yaml"),
    "too large": ("a.yaml", "a" * (MAX_BYTES + 1), "larger than"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_file_that_is_not_read_is_named_with_the_reason(tmp_path: Path, case: str) -> None:
    name, text, words = WRONG[case]

    with pytest.raises(ConfigFileError, match=words):
        read_config(written(tmp_path, name, text))


def test_a_file_is_read_without_a_server(tmp_path: Path) -> None:
    done = lrserve("read", written(tmp_path, "a.yaml", YAML), "--base-lr", "6e-4", "--json")

    found = json.loads(done.stdout)
    assert done.exit_code == 0
    assert (found["from"], found["base_lr"], found["facts"]["steps"]) == ("composer", 6e-4, 4800)


def test_flags_come_from_standard_input() -> None:
    done = lrserve("read", "-", "--from", "timm", input="--sched step --lr .1 --epochs 30 --decay-epochs 2.4")

    assert done.exit_code == 0
    assert '"decay_t": 2.4' in done.stdout
    assert "one step is one epoch" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--base-lr: the configuration has no learning rate: give base_lr"),
        (["--from", "chainer"], "is not one of composer, "),
        (["--from", "fairseq", "--base-lr", "0.1"], "lr_scheduler._name: the scheduler"),
    ],
)
def test_a_refusal_names_the_option_or_the_field(arguments: list[str], words: str) -> None:
    config = {"lr_scheduler": {"_name": "cosin"}} if "fairseq" in arguments else COSINE

    done = lrserve("read", "-", *arguments, input=json.dumps(config))

    assert done.exit_code == 2
    assert words in " ".join(done.stderr.replace("│", " ").split())
