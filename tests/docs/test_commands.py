"""Every command and every Python block of README and docs/ is run, unless RUNS_NOT says why not.

`localhost:8000` stands for the running service, `$ID` for a job such as the command needs (ended, waiting, ...); jobs
are shortened to an epoch. A variable that this module does not know makes its command fail: whoever writes a new
one says what it stands for.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from lrserve.client import Client
from tests.conftest import Service
from tests.docs.commands import PAGES, ROOT, Block, Command, commands, python, shell
from tests.factories import job_spec, range_test_job

# what a command begins with, and why it is not run here
RUNS_NOT = {
    "make ": "each target is run by itself: by CI, or by hand as its comment in the Makefile says",
    "docker ": "needs a Docker engine",
    "kubectl ": "needs a Kubernetes cluster",
    "helm ": "needs helm and a Kubernetes cluster",
    "pip install": "downloads packages; tests of the wheel install it",
    "uvx ": "downloads packages; tests of the wheel run what it would run",
    "pipx ": "downloads packages; tests of the wheel run what it would run",
    "apt install": "changes the system",
    "brew install": "changes the system",
    "git clone": "needs a network",
    "tensorboard ": "a server that stays; tests/docs/test_examples.py reads the events",
    "redis-cli ": "talks to a Redis of production",
    "redis-server ": "a server that stays",
    "LRSERVE_DATA_ROOT=DIR .venv/bin/lrserve up": "a server that stays; tests/lrserve starts it",
    "lrserve up": "a server that stays; tests/lrserve starts it",
    "lrserve curve example:": "tests/plugins runs it, against a service that has the plug-in",
    "lrserve submit examples/plugin": "tests/plugins runs it, against a service that has the plug-in",
    "LRSERVE_PLUGINS=lrserve-example lrserve up": "a server that stays; tests/plugins has one",
    "lrserve api": "a server that stays; all tests stand on one",
    "lrserve worker": "a server that stays; all tests stand on one",
    "lrserve demo": "tests/lrserve runs it",
    "python -m lrserve.worker.engine": "tests/worker runs it; its data set would be downloaded",
    "python -m benchmarks": "takes minutes and measures; figures are in benchmarks/RESULTS.md",
    "cp docs/deploy/env.example": "the file is edited by hand afterwards",
}
NOWHERE = "no-such-card"  # hardware of jobs that are to wait for ever
FAKE = '{"type": "fake", "samples": 64, "test_samples": 16, "image_size": 12}'


class Stage:
    """What commands need to be there."""

    def __init__(self, service: Service, folder: Path) -> None:
        self.service, self.folder = service, folder
        self.http, self._made, self._once = service.http, [], {}  # type: ignore[var-annotated]
        shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
        for file in (folder / "examples").glob("*.json"):
            spec = json.loads(file.read_text())
            for job in (spec, spec.get("base", {})):  # each by the smallest data set, for an epoch
                job.update({"dataset": json.loads(FAKE), "epochs": 1} if "dataset" in job else {})
            if "grid" in spec:
                spec["grid"]["seed"] = [0]
            file.write_text(json.dumps(spec))
        (folder / "job.json").write_text(json.dumps(job_spec(epochs=1)))

    def once(self, what: str, make: Callable[[], str]) -> str:
        """What was made at the first call."""
        if what not in self._once:
            self._once[what] = make()
        return self._once[what]

    def posted(self, path: str, body: dict[str, Any]) -> str:
        """The id of something new, which is removed at the end."""
        found = self.http.post(path, json=body).raise_for_status().json()
        self._made.append((path, found["id"]))
        return str(found["id"])

    def ended(self, path: str, body: dict[str, Any]) -> str:
        """The id of a job that has ended."""
        job = self.posted(path, body)
        assert self.service.ended(job).state == "succeeded"
        return job

    def job(self, command: str) -> str:
        """The job that $ID stands for."""
        experiment = {"base": job_spec(epochs=1), "grid": {"seed": list(range(8))}}
        if re.search(r"/(cancel|pause|resume)\b|lrserve (cancel|pause|resume)|-X PATCH", command):
            kind = "experiments" if "/experiments/" in command else "jobs"
            body = experiment if kind == "experiments" else job_spec()
            return self.posted(f"/v1/{kind}", body | {"hardware": NOWHERE})
        if "-X DELETE" in command:
            return self.ended("/v1/jobs", job_spec(epochs=1))
        if "/experiments/" in command:
            return self.once("experiment", lambda: self.ended("/v1/experiments", experiment))
        if "/lr-range-tests/" in command:
            return self.once("test", lambda: self.ended("/v1/lr-range-tests", range_test_job(num_iter=20)))
        return self.once("job", lambda: self.ended("/v1/jobs", job_spec(epochs=1)))

    def webhook(self, command: str) -> str:
        """The webhook that $WEBHOOK stands for."""
        return self.once("webhook", lambda: self.posted("/v1/webhooks", {"url": "https://example.org/hook"}))

    def token(self, command: str) -> str:
        """The token of a key."""
        return self.once("token", lambda: self.run("lrserve keys create docs").strip())

    def placed(self, text: str) -> str:
        """A command with the service's address, real ids, and data that are there."""
        text = text.replace("http://localhost:8000", self.service.url).replace("localhost:8000", self.service.url)
        text = text.replace(".venv/bin/lrserve", "lrserve").replace('{"type": "fashion-mnist"}', FAKE)
        text = re.sub(r'"epochs": \d+', '"epochs": 1', text)
        variables = {"ID": self.job, "WEBHOOK": self.webhook, "LRSERVE_KEY": self.token}
        for name, value in variables.items():
            if re.search(rf"\${name}\b", text):
                text = re.sub(rf"\${name}\b", value(text), text)
        if "sweep-7" in text and "PUT" not in text:
            self.once("sweep-7", lambda: self.run(self.placed(next(c.text for c in ALL if "-X PUT" in c.text))))
        if "keys revoke" in text:
            token = self.run("lrserve keys create docs")
            text = re.sub(r"(?<=keys revoke )\S+", token.split("_")[1] if "_" in token else token.strip(), text)
        return text

    def run(self, text: str) -> str:
        """What a command prints. It has to end with status 0, and curl with an answer of 2xx."""
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "LRSERVE_URL": self.service.url,
            "LRSERVE_REDIS_URL": self.service.stack.services[0].environment["LRSERVE_REDIS_URL"],
        }
        script = f'set -euo pipefail\ncurl() {{ command curl --fail-with-body --max-time 60 "$@"; }}\n{text}\n'
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.folder, env=environment, capture_output=True, timeout=120, check=False
        )
        output = done.stdout.decode("utf-8", "replace")
        assert done.returncode == 0, f"{text}\n{output[-2000:]}\n{done.stderr.decode()[-2000:]}"
        return output

    def clear(self) -> None:
        """Remove what would disturb others."""
        for path, made in self._made:
            if path == "/v1/webhooks":
                self.http.delete(f"{path}/{made}")
            elif self.http.get(f"/v1/jobs/{made}").json().get("state") in ("queued", "paused"):
                self.http.post(f"/v1/jobs/{made}/cancel")
        for webhook in self.http.get("/v1/webhooks").json()["webhooks"]:
            self.http.delete(f"/v1/webhooks/{webhook['id']}")


@pytest.fixture(scope="module")
def stage(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = Stage(service, tmp_path_factory.mktemp("docs"))
    yield stage
    stage.clear()


def unique(found: list[Command]) -> list[Command]:
    """Each text once: pages repeat each other."""
    first: dict[str, Command] = {}
    for command in found:
        first.setdefault(command.text, command)
    return list(first.values())


def reason(command: Command) -> str | None:
    """Why a command is not run; None if it is."""
    text = re.sub(r"^(sudo|nice|time|export [A-Z_]+=\S+ &&) ", "", command.text)
    text = text.replace(".venv/bin/", "") if not text.startswith("LRSERVE_DATA_ROOT") else text
    return next((why for start, why in RUNS_NOT.items() if f"{text} ".startswith(start)), None)


ALL = unique(shell())
RUN = [command for command in ALL if reason(command) is None]


@pytest.mark.slow
@pytest.mark.parametrize("command", RUN, ids=[command.where for command in RUN])
def test_a_command_of_the_documentation_works(command: Command, stage: Stage) -> None:
    stage.run(stage.placed(command.text))


def test_nothing_is_excused_that_is_not_there() -> None:
    excused = {why for command in ALL if (why := reason(command))}
    assert excused <= set(RUNS_NOT.values())
    assert len(RUN) > 40


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_links_of_the_documentation_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```|^    .*?$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)#:\s]+)[^)\s:]*\)", text):
        generated = re.match(r"(schedules|http)/|(examples|results|changelog|policy|contributing)\.md$", link)
        assert generated or (page.parent / link).exists(), link


@pytest.mark.parametrize("page", sorted({block.where.split(":")[0] for block in python()}))
def test_python_of_the_documentation_runs(page: str, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a page one after another, in one namespace, as a reader would paste them."""
    import torch

    monkeypatch.setenv("LRSERVE_URL", stage.service.url)
    monkeypatch.chdir(stage.folder)
    optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.1)
    names: dict[str, Any] = {"__name__": "docs", "optimizer": optimizer}
    with ExitStack() as ending:
        ending.callback(lambda: [made.close() for made in names.values() if isinstance(made, Client)])
        for block in python([ROOT / page]):
            code = compile(stage.placed(block.text), block.where, "exec")
            exec(code, names)


def test_the_way_to_verify_a_webhook_tells_true_from_false() -> None:
    import base64
    import hashlib
    import hmac
    import time

    names: dict[str, Any] = {}
    for block in python([ROOT / "docs" / "webhooks.md"]):
        exec(block.text, names)
    body, now = b'{"type":"job.succeeded"}', str(int(time.time()))
    signed = hmac.new(b"secret", b"msg." + now.encode() + b"." + body, hashlib.sha256).digest()
    headers = {"webhook-id": "msg", "webhook-timestamp": now}
    headers["webhook-signature"] = "v1," + base64.b64encode(signed).decode()
    secret = "whsec_" + base64.b64encode(b"secret").decode()
    assert names["genuine"](secret, headers, body)
    assert not names["genuine"](secret, headers, body + b" ")


def test_commands_are_found_as_a_shell_finds_them() -> None:
    text = "a \\\n  b 'c\nd' # e's\n# f\ncurl -d '{\"#\": 1}' x#y  # g\necho \"it's\"\n"
    found = list(commands(Block("p.md:7", "sh", text)))
    assert [c.where for c in found] == ["p.md:7", "p.md:11", "p.md:12"]
    assert found[0].text.split() == ["a", "b", "'c", "d'"]
    assert [c.text for c in found[1:]] == ["curl -d '{\"#\": 1}' x#y", 'echo "it\'s"']
