"""The `lrserve` command against a running server; as a process of its own where that makes a difference."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from lrcore import __version__
from lrcore.schedules import SCHEDULES
from lrserve.main import app
from lrserve.supervisor import free_port
from tests.conftest import Service
from tests.factories import job_spec, long_job

LRSERVE = Path(sys.executable).parent / "lrserve"


def process(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LRSERVE_")} | {"COLUMNS": "160"}
    return subprocess.run(
        [LRSERVE, *arguments],
        env=environment | options.pop("env", {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        **options,
    )


def lrserve(*arguments: str, url: str, input: str = "") -> Result:
    return CliRunner(env={"LRSERVE_URL": url, "COLUMNS": "160"}).invoke(app, arguments, input=input)


@pytest.fixture
def say(service: Service) -> Any:
    """Runs a command that must succeed; its standard output."""

    def run(*arguments: str, input: str = "") -> str:
        done = lrserve(*arguments, url=service.url, input=input)
        assert done.exit_code == 0, done.output
        return done.stdout

    return run


@pytest.fixture(scope="module")
def trained(service: Service) -> str:
    """The id of a job that has succeeded."""
    return service.train(job_spec(labels=["cli-test"])).id


@pytest.fixture(scope="module")
def experiment(service: Service) -> str:
    """The id of an experiment whose last configuration diverges."""
    spec = {"base": job_spec(epochs=1), "grid": {"lr": [0.1, 0.01, 1e15], "seed": [0, 1]}}
    return service.train(spec).id


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def test_it_says_its_version() -> None:
    assert process("--version").stdout == f"lrserve {__version__}\n"


def test_its_help_loads_nothing_large() -> None:
    heavy = ("numpy", "pydantic", "httpx", "redis", "fastapi", "torch", "matplotlib", "lrcore.schedules")
    code = f"import sys, lrserve.main; print([name for name in {heavy} if name in sys.modules])"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_curve_is_drawn_in_the_terminal(say: Any) -> None:
    drawn = say("curve", "StepLR", "step_size=5", "gamma=0.5", "--base-lr", "0.1").splitlines()

    assert len(drawn) == 21
    assert drawn[1].split() == ["0", "0.1", "█" * 40]
    assert drawn[-1].split() == ["19", "0.0125", "█" * 5]


def test_each_parameter_group_is_drawn(say: Any) -> None:
    drawn = say("curve", "ConstantLR", "total_iters=2", "--base-lr", "0.3", "--base-lr", "3", "--steps", "2")

    assert [line.split()[1] for line in drawn.splitlines() if line.strip().startswith("0")] == ["0.1", "1"]


def test_a_curve_is_written_to_a_file(say: Any, tmp_path: Path) -> None:
    file = tmp_path / "curve.npy"
    spec = json.dumps({"type": "MultiStepLR", "milestones": [3, 8], "gamma": 0.5})

    say("curve", spec, "--base-lr", "0.5", "--steps", "9", "--format", "npy", "-o", str(file))

    assert np.load(file).tolist() == [0.5] * 3 + [0.25] * 5 + [0.125]


@pytest.mark.parametrize("value", ["0.95**epoch", "1"])
def test_an_expression_needs_no_quotes_within_quotes(value: str, say: Any) -> None:
    answer = json.loads(say("curve", "LambdaLR", f'lr_lambda="{value}"', "--base-lr", "1", "--json"))

    assert answer["schedule"]["lr_lambda"] == value


def test_curves_are_compared(say: Any) -> None:
    both = ("StepLR step_size=1 gamma=0.5", '{"type": "ConstantLR", "factor": 1}')
    table = say("compare", *both, "--base-lr", "0.4", "--steps", "2")
    answer = json.loads(say("compare", *both, "--base-lr", "0.4", "--steps", "2", "--json"))

    assert [line.split() for line in table.splitlines()[1:]] == [["0", "0.4", "0.4"], ["1", "0.2", "0.4"]]
    assert [each["lr"] for each in answer["curves"]] == [[0.4, 0.2], [0.4, 0.4]]


def test_schedules_are_listed_and_one_is_shown(say: Any) -> None:
    listed, shown = say("schedules"), say("schedules", "StepLR")

    assert [line.split()[0] for line in listed.splitlines()[1:]] == list(SCHEDULES)
    assert [each["type"] for each in json.loads(say("schedules", "--json"))] == list(SCHEDULES)
    assert [line.split()[:2] for line in shown.splitlines() if line.startswith("step_size")] == [
        ["step_size", "required"]
    ]
    assert json.loads(say("schedules", "StepLR", "--json"))["formula"] in shown


def test_the_code_of_a_translation_runs_as_it_is_printed(say: Any) -> None:
    import torch

    code = say("translate", "StepLR", "step_size=5", "--to", "torch", "--base-lr", "0.1")
    names: dict[str, Any] = {}
    exec(code, names)

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    assert names["make_scheduler"](optimizer).get_last_lr() == [0.1]


@pytest.mark.parametrize(
    "text", ["0.4\n0.4\n0.2\n0.2\n0.1\n", "[0.4, 0.4, 0.2, 0.2, 0.1]", "step,lr\n0,.4\n1,.4\n2,.2\n3,.2\n4,.1\n"]
)
def test_a_schedule_is_found_behind_rates_however_they_are_written(text: str, say: Any, tmp_path: Path) -> None:
    file = tmp_path / "rates"
    file.write_text(text)

    best = json.loads(say("fit", str(file), "--json"))[0]

    assert best["exact"]
    assert best["schedule"] | {"gamma": 0.5} == best["schedule"]
    assert json.dumps(best["schedule"]) in say("fit", "-", input=text)


def test_a_job_is_submitted_from_a_file_and_watched_to_its_end(say: Any, service: Service, tmp_path: Path) -> None:
    file = tmp_path / "job.json"
    file.write_text(json.dumps(job_spec()))

    job_id = say("submit", str(file)).strip()

    assert "succeeded: final test accuracy" in say("watch", job_id)
    assert service.client.job(job_id).state == "succeeded"


def test_a_job_is_submitted_from_standard_input_and_its_events_are_lines_of_json(say: Any) -> None:
    job, *events = lines(say("submit", "-", "--watch", "--json", input=json.dumps(job_spec())))

    assert job["spec"]["epochs"] == 3
    assert [event["data"]["epoch"] for event in events if event["type"] == "epoch"] == [0, 1, 2]
    assert events[-1]["type"] == "end"


def test_a_dry_run_makes_no_job(say: Any, service: Service) -> None:
    before = next(service.client.jobs()).id

    assert say("submit", json.dumps(job_spec()), "--dry-run").startswith("12 steps, 4 an epoch\n")
    assert json.loads(say("submit", json.dumps(job_spec()), "--dry-run", "--json"))["steps"] == 12
    assert next(service.client.jobs()).id == before


def test_a_job_is_found_by_its_label_and_shown(say: Any, trained: str) -> None:
    rows = say("jobs", "--label", "cli-test", "--state", "succeeded").splitlines()
    (listed,) = lines(say("jobs", "--label", "cli-test", "--limit", "1", "--json"))
    shown = json.loads(say("job", trained, "--json"))

    assert [row.split()[:4] for row in rows[1:]] == [[trained, "training", "succeeded", "100%"]]
    assert listed["id"] == shown["id"] == trained
    assert say("job", trained).splitlines()[0].split() == ["id", trained]


def test_an_experiment_is_submitted_and_its_leaderboard_printed(say: Any, experiment: str) -> None:
    rows = say("watch", experiment).splitlines()[1:]

    assert [row.split()[0] for row in rows] == ["1", "2", "3"]
    assert "±" in rows[0]
    assert "[" in rows[1]
    assert rows[2].split()[-2:] == ["2", "failed"]
    assert say("experiments", "leaderboard", experiment).splitlines()[1:] == rows


def test_an_experiment_s_runs_and_epochs_are_tables(say: Any, experiment: str, tmp_path: Path) -> None:
    runs = lines(say("experiments", "runs", experiment, "--json"))
    epochs = lines(say("experiments", "epochs", experiment, "--json"))
    job = json.loads(say("experiments", "run", experiment, "1"))

    assert [run["state"] for run in runs] == ["succeeded"] * 4 + ["failed"] * 2
    assert [epoch["run"] for epoch in epochs] == ["0", "1", "2", "3"]
    assert say("experiments", "epochs", experiment).splitlines()[0].split(",") == list(epochs[0])
    assert (job["seed"], job["optimizer"]["lr"]) == (1, 0.1)
    assert experiment in [each["id"] for each in lines(say("experiments", "list", "--json"))]
    assert say("experiments", "plot", experiment, "-o", str(tmp_path / "x.svg")) == f"{tmp_path / 'x.svg'}\n"
    assert (tmp_path / "x.svg").read_text().startswith("<?xml")


def test_a_rate_is_found_and_drawn(say: Any, tmp_path: Path) -> None:
    spec = json.dumps(job_spec(schedule={"type": "StepLR", "step_size": 1}))
    drawn = say("lr-find", spec, "--num-iter", "20", "--end-lr", "100", "--start-lr", "1e-4")
    found = json.loads(say("lr-find", spec, "--num-iter", "20", "--end-lr", "100", "--start-lr", "1e-4", "--json"))

    said = [line for line in drawn.splitlines() if line.startswith(("steepest", "valley", "max_lr"))]
    assert len(said) == 3
    for line in said:
        name, first, *_ = line.split()
        rate = found["suggestion"][name]
        assert first == ("none:" if rate is None else f"{rate:.3g}")
        assert rate is None or "← " in drawn
    assert len(found["lr"]) == len(found["smoothed_loss"])


def test_watching_a_job_that_failed_ends_with_its_reason(service: Service) -> None:
    spec = json.dumps(job_spec(optimizer={"type": "SGD", "lr": 1e9}))
    done = lrserve("submit", spec, "--watch", url=service.url)
    job_id = done.stdout.split()[0]
    again = lrserve("watch", job_id, "--json", url=service.url)

    assert (done.exit_code, again.exit_code) == (4, 4)
    assert "failed: the loss is not finite" in done.stderr
    assert json.loads(again.stderr)["error"]["detail"].startswith("failed: the loss is not finite")


@pytest.mark.slow
def test_a_job_is_paused_resumed_cancelled_retried_cloned_and_deleted(say: Any, service: Service) -> None:
    busy = service.client.submit(long_job(epochs=2000)).id
    waiting = service.client.submit(job_spec()).id

    done = [say(action, waiting).strip() for action in ("pause", "resume", "cancel")]
    again = say("retry", waiting).strip()
    other = json.loads(say("clone", waiting, "epochs=2", "optimizer.lr=0.03", "labels=null", "--json"))
    for each in (again, other["id"]):
        assert json.loads(say("cancel", each, "--json"))["state"] == "cancelled"
    say("cancel", busy)

    assert done == ["paused", "queued", "cancelled"]
    assert (other["spec"]["epochs"], other["spec"]["optimizer"]["lr"]) == (2, 0.03)
    assert service.ended(busy).state == "cancelled"
    assert lrserve("watch", busy, url=service.url).exit_code == 4
    assert lrserve("pause", busy, url=service.url).exit_code == 1
    assert json.loads(say("delete", again, "--json")) == {"deleted": again}
    assert lrserve("job", again, url=service.url).exit_code == 1


def test_artifacts_are_listed_and_downloaded(say: Any, trained: str, tmp_path: Path) -> None:
    listed = {each["name"]: each["size"] for each in json.loads(say("artifacts", trained, "--json"))}
    say("artifacts", trained, "--download", str(tmp_path / "all"))
    one = json.loads(say("artifacts", trained, "spec.json", "--download", str(tmp_path / "one"), "--json"))

    assert {file.name: file.stat().st_size for file in (tmp_path / "all").iterdir()} == listed
    assert one == [str(tmp_path / "one" / "spec.json")]
    assert [line.split()[1] for line in say("artifacts", trained).splitlines()] == list(listed)


def test_a_webhook_is_added_changed_tested_and_deleted(say: Any) -> None:
    made = json.loads(say("webhooks", "add", "https://example.invalid/hook", "--event", "job.failed", "--json"))
    try:
        changed = json.loads(say("webhooks", "change", made["id"], "--event", "job.paused", "--json"))
        delivery = say("webhooks", "test", made["id"]).strip()
        log = lines(say("webhooks", "deliveries", made["id"], "--json"))
        listed = say("webhooks", "list")
        rotated = say("webhooks", "rotate", made["id"]).split()
    finally:
        say("webhooks", "delete", made["id"])

    assert changed["events"] == ["job.paused"]
    assert [each["id"] for each in log] == [delivery]
    assert f"{made['id']}  https://example.invalid/hook  paused" in listed
    assert rotated[0] == made["id"]
    assert rotated[1] != made["secret"]
    assert made["id"] not in say("webhooks", "list")


@pytest.fixture
def of_the_service(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that work on Redis find that of the shared service."""
    monkeypatch.setenv("LRSERVE_HOME", str(service.stack.settings.home_folder))


@pytest.mark.usefixtures("of_the_service")
def test_keys_and_limits_are_documents_too(say: Any) -> None:
    made = json.loads(say("keys", "create", "cli-tests", "--role", "read", "--name", "one", "--json"))
    revoked = json.loads(say("keys", "revoke", made["id"], "--json"))
    (listed,) = json.loads(say("keys", "list", "--tenant", "cli-tests", "--json"))
    say("limits", "set", "queued=5", "--tenant", "cli-tests")
    limits = json.loads(say("limits", "show", "--tenant", "cli-tests", "--json"))

    assert made["token"].startswith(f"lrs_{made['id']}_")
    assert listed == revoked
    assert revoked["revoked_at"]
    assert (limits["queued"], limits["running"]) == (5, None)
    assert say("keys", "list", "--tenant", "cli-tests").splitlines()[1].split()[:4] == [
        made["id"],
        "cli-tests",
        "read",
        "one",
    ]


def test_what_the_server_refuses_is_said_by_field(service: Service) -> None:
    wrong = ("curve", "StepLR", "step_size=0", "--base-lr", "0.1")
    done, machine = lrserve(*wrong, url=service.url), lrserve(*wrong, "--json", url=service.url)

    assert (done.exit_code, machine.exit_code) == (1, 1)
    assert done.stdout == machine.stdout == ""
    assert "body.schedule.step_size: Input should be greater than or equal to 1" in done.stderr
    problem = json.loads(machine.stderr)["error"]
    assert (problem["status"], problem["errors"][0]["loc"]) == (422, ["body", "schedule", "step_size"])


def test_a_share_of_the_run_is_for_lengths_alone(say: Any, service: Service) -> None:
    cosine = ("curve", "CosineAnnealingLR", "T_max=7%", "--base-lr", "0.1", "--steps", "100", "--json")

    assert json.loads(say(*cosine))["schedule"]["T_max"] == 7
    wrong = lrserve(*cosine, "eta_min=10%", url=service.url)
    assert wrong.exit_code == 1
    assert json.loads(wrong.stderr)["error"]["errors"][0]["loc"] == ["body", "schedule", "eta_min"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["submit", "nothing.json"], "nothing.json: No such file"),
        (["submit", "{"], "job is not JSON"),
        (["submit", "-"], "- is not JSON"),
        (["curve", "StepLR", "step_size"], "'step_size' is not name=value"),
        (["curve", "StepLR", "step_size=1", "step_size=2"], "step_size comes twice"),
        (
            ["curve", '{"type": "StepLR", "step_size": 5, "step_size": 6}'],
            "schedule: step_size: the key 'step_size' comes",
        ),
        (["submit", '{"model": {"type": "mlp", "type": "lenet"}}'], "model.type: the key 'type' comes twice"),
        (["up", "--port", "70000"], "Invalid value for '--port'"),
        (["clone", "x", "optimizer=1", "optimizer.lr=2"], "another change gives optimizer as a whole"),
        (["fit", "-"], "the file has no rates"),
        (["worker", "--name", ""], "Invalid value for '--name'"),
    ],
)
def test_a_wrong_argument_is_explained(arguments: list[str], words: str, service: Service) -> None:
    given = "" if arguments[0] != "fit" else "nought"
    done = lrserve(*arguments, url=service.url, input=given)
    machine = lrserve(*arguments, "--json", url=service.url, input=given)

    assert (done.exit_code, machine.exit_code) == (2, 2)
    assert words in done.stderr
    assert words in json.loads(machine.stderr)["error"]["detail"]


def test_a_server_that_is_not_there_is_said() -> None:
    url = f"http://127.0.0.1:{free_port()}"

    done, machine = lrserve("watch", "some-job", url=url), lrserve("job", "some-job", "--json", url=url)

    assert (done.exit_code, machine.exit_code) == (3, 3)
    assert done.stderr.startswith(f"lrserve: {url} does not answer")
    assert json.loads(machine.stderr)["exit_status"] == 3


def test_a_redis_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRSERVE_REDIS_URL", f"redis://127.0.0.1:{free_port()}/0")

    done, machine = lrserve("keys", "list", url=""), lrserve("limits", "show", "--json", url="")

    assert (done.exit_code, machine.exit_code) == (1, 1)
    assert done.stderr.startswith("lrserve: Redis: ")
    assert "lrserve doctor" in json.loads(machine.stderr)["error"]["detail"]


def test_a_port_in_use_is_said_before_anything_starts(service: Service, tmp_path: Path) -> None:
    done = process("up", "--port", str(service.stack.port), "--home", str(tmp_path))

    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{service.stack.port}" in done.stderr


def test_a_data_folder_in_use_is_said(service: Service) -> None:
    done = process("up", "--port", str(free_port()), "--home", str(service.stack.settings.home_folder))

    assert done.returncode == 1
    assert "another lrserve uses" in done.stderr


def test_a_setting_without_sense_is_said_by_its_variable() -> None:
    done = process("up", env={"LRSERVE_LEASE_SECONDS": "soon"})

    assert done.returncode == 1
    assert done.stderr.startswith("lrserve: LRSERVE_LEASE_SECONDS: ")


def completed(words: str, url: str) -> list[str]:
    """What bash offers for the last of the words, by the script that --show-completion prints."""
    script = 'eval "$(lrserve --show-completion bash)"; COMP_WORDS=($1); COMP_CWORD=$((${#COMP_WORDS[@]} - 1 + $2)); '
    script += '_lrserve_completion lrserve; printf "%s\\n" "${COMPREPLY[@]}"'
    environment = os.environ | {
        "PATH": f"{LRSERVE.parent}:{os.environ['PATH']}",
        "LRSERVE_URL": url,
        "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
    }
    begun = "1" if words.endswith(" ") else "0"
    command = ["bash", "--norc", "-c", script, "bash", words, begun]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.split()


@pytest.mark.slowest
def test_bash_completes_commands_schedules_their_parameters_and_jobs(service: Service, trained: str) -> None:
    assert completed("lrserve can", service.url) == ["cancel"]
    assert completed("lrserve curve Exponential", service.url) == [
        name for name in SCHEDULES if name.startswith("Exponential")
    ]
    assert completed("lrserve curve StepLR ", service.url) == ["last_epoch=", "step_size=", "gamma="]
    assert completed("lrserve curve StepLR step_size=5 ", service.url) == ["last_epoch=", "gamma="]
    assert completed("lrserve jobs --state s", service.url) == ["succeeded"]
    assert trained in completed("lrserve job ", service.url)
    assert completed(f"lrserve job {trained[:-1]}", service.url) == [trained]


def test_completion_is_silent_without_a_server() -> None:
    assert completed("lrserve job ", f"http://127.0.0.1:{free_port()}") == []
