"""What other people wrote is text on a terminal and in a log: it moves no cursor, forges no line, reorders nothing."""

from __future__ import annotations

import ast
import io
import json
import logging
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from lrcore.service import logs
from lrcore.text import HIDDEN, visible
from lrserve.client import Client
from lrserve.client.bar import Bar
from lrserve.client.events import Event
from lrserve.main import app
from lrserve.output import print_json, say, table
from tests.conftest import Service
from tests.factories import job_spec

ROOT = Path(__file__).parents[2]
HOSTILE = (
    "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F)]))
    + "".join(map(chr, range(0x2066, 0x206A)))
    + "\x1b[2J\x1b]0;title\x07\x1b[31m[red]bold[/red][/nothing]\r\n2026-01-01 00:00:00,000 ERROR lrserve.api forged"
)
# with any character, so that most texts have one that matters
texts = st.text(st.one_of(st.characters(), st.sampled_from(HOSTILE)), max_size=60)


def assert_plain(text: str) -> None:
    found = {character for character in HIDDEN.findall(text)} - {"\n", "\t"}
    assert not found, (sorted(map(ascii, found)), text[:500])


@given(texts)
def test_what_is_visible_is_plain_and_the_same_json(text: str) -> None:
    assert HIDDEN.search(visible(text)) is None
    plain = json.dumps(text, ensure_ascii=False)
    assert json.loads(visible(plain)) == text
    assert visible(visible(text)) == visible(text)


@given(texts)
def test_whatever_commands_print_is_plain(text: str) -> None:
    before, sys.stdout = sys.stdout, io.StringIO()
    try:
        say(text)
        say(table(["a", text], [(text, 1), (2, text)]))
        shown = sys.stdout.getvalue()
        print_json({text: [text]})
        document = sys.stdout.getvalue()[len(shown) :]
    finally:
        sys.stdout = before

    assert_plain(shown + document)
    assert shown.count("\n") == text.count("\n") + 4  # a cell never ends its line
    assert json.loads(document) == {text: [text]}


@given(texts, texts, texts)
def test_a_record_is_one_line_however_it_is_written(message: str, worker: str, error: str) -> None:
    try:
        raise ValueError(error)
    except ValueError:
        trouble = sys.exc_info()
    plain, failed = (
        logging.LogRecord("lrserve.api", logging.INFO, "", 0, "%s", (message,), info) for info in (None, trouble)
    )
    plain.worker = failed.worker = worker

    assert "\n" not in logs.Text().format(plain)
    first, *others = logs.Text().format(failed).split("\n")
    assert others
    assert all(line.startswith("  ") for line in others)
    for line in (first, *others):
        assert HIDDEN.search(line) is None
    for record in (plain, failed):
        line = logs.Json().format(record)
        assert HIDDEN.search(line) is None
        assert json.loads(line)["worker"] == worker
    assert json.loads(logs.Json().format(plain))["message"] == logs.masked(message)


@given(texts)
def test_a_progress_bar_shows_what_it_is_given(title: str) -> None:
    drawn = io.StringIO()
    job = type("Job", (), {"kind": "training", "state": title, "progress": type("P", (), {"epochs": 3})})
    with Bar(job, title, Console(file=drawn, width=400, color_system=None)) as bar:  # type: ignore[arg-type]
        numbers = {"lr": [0.1], "train_loss": 1.0, "train_accuracy": 0.5, "test_loss": 1.0, "test_accuracy": 0.5}
        bar.show(Event("1", "epoch", {"run": title} | numbers))

    assert_plain(drawn.getvalue())


class Poisoned(BaseHTTPRequestHandler):
    """Passes requests on, and puts hostile text behind the texts of what is answered."""

    upstream = ""
    all_texts = False  # or those alone that a client takes as they are
    FREE = frozenset(
        {*["message", "title", "detail", "msg", "labels", "name", "summary", "formula", "origin"]}
        | {*["description", "code", "notes", "url", "label", "configuration", "reasons", "events", "settings"]}
    )

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        sent = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "accept-encoding")}
        answer = httpx.request(self.command, self.upstream + self.path, content=body, headers=sent, timeout=60)
        content, kind = answer.content, answer.headers.get("content-type", "")
        if "json" in kind:
            content = json.dumps(self.poisoned(answer.json())).encode()
        elif "event-stream" in kind:
            lines = [self.event(line) for line in answer.text.split("\n")]
            content = "\n".join(lines).encode()
        elif kind.startswith("text/"):
            content += HOSTILE.encode()
        self.send_response(answer.status_code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

    def poisoned(self, value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {key: self.poisoned(each, key if name != "settings" else name) for key, each in value.items()}
        if isinstance(value, list):
            return [self.poisoned(each, name) for each in value]
        return value + HOSTILE if isinstance(value, str) and (self.all_texts or name in self.FREE) else value

    def event(self, line: str) -> str:
        name, _, value = line.partition(": ")
        return f"data: {json.dumps(self.poisoned(json.loads(value)))}" if name == "data" else line

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture(scope="module", params=[False, True], ids=["free", "all"])
def hostile(request: pytest.FixtureRequest, service: Service) -> Iterator[str]:
    """The URL of a server that answers as lrserve does, with hostile text in what it says; or in everything."""
    handler = type("Handler", (Poisoned,), {"upstream": service.url, "all_texts": request.param})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def there(service: Service) -> dict[str, str]:
    """Ids of what the service has."""
    client = service.client
    job = service.train(job_spec(epochs=1, labels=["a"]))
    failed = client.submit(job_spec(optimizer={"type": "SGD", "lr": 1e30}))
    service.ended(failed.id)
    experiment = client.submit_experiment(job_spec(epochs=1), {"lr": [0.1, 0.01]})
    service.ended(experiment.id)
    hook, _ = client.create_webhook("https://example.org/hook")
    return {"job": job.id, "failed": failed.id, "experiment": experiment.id, "hook": hook.id}


STEP = ("StepLR", "step_size=5", "--base-lr", "0.1")
COMMANDS = (
    *(("curve", *STEP), ("curve", *STEP, "--format", "csv"), ("curve", *STEP, "--format", "svg")),
    *(("curve", "StepLR", "step_size=-1"), ("curve", "Nope"), ("schedules",), ("schedules", "OneCycleLR")),
    *(("compare", "StepLR step_size=5", "--base-lr", "0.1"), ("translate", *STEP), ("jobs",), ("job", "{job}")),
    *(("job", "{failed}"), ("job", "nope"), ("watch", "{job}"), ("watch", "{failed}"), ("watch", "{experiment}")),
    *(("cancel", "{job}"), ("artifacts", "{job}"), ("experiments", "list"), ("webhooks", "list")),
    *(("experiments", "leaderboard", "{experiment}"), ("experiments", "runs", "{experiment}")),
    *(("experiments", "epochs", "{experiment}"), ("experiments", "run", "{experiment}", "0")),
    *(("webhooks", "deliveries", "{hook}"), ("submit", "--dry-run", json.dumps(job_spec()))),
)


@pytest.mark.sampled(12)
@pytest.mark.parametrize("json_too", [False, True], ids=["text", "json"])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command)[:50])
def test_no_answer_of_a_server_writes_on_the_terminal(
    command: tuple[str, ...], json_too: bool, hostile: str, there: dict[str, str]
) -> None:
    arguments = [part.format(**there) if part.startswith("{") and ":" not in part else part for part in command]
    if json_too:
        arguments.append("--json")
    done = CliRunner().invoke(app, [*arguments, "--url", hostile])

    written = done.stdout_bytes.decode() + done.stderr_bytes.decode()
    assert_plain(written)
    if done.exception and not isinstance(done.exception, SystemExit):
        assert_plain(str(done.exception))  # Python prints it


def test_markup_in_a_text_is_text(hostile: str, there: dict[str, str]) -> None:
    done = CliRunner().invoke(app, ["schedules", "OneCycleLR", "--url", hostile])

    assert "[red]bold[/red][/nothing]" in done.stdout or done.exit_code


def test_commands_print_by_one_function_alone() -> None:
    """A text that takes another way would be raw."""
    own = {"lrserve/output.py", "lrserve/reference.py"}
    for path in sorted((ROOT / "lrserve").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and name not in own:
                called = ast.unparse(node.func)
                assert called not in ("print", "typer.echo", "typer.secho", "sys.stdout.write", "sys.stderr.write"), (
                    f"{name}:{node.lineno}: {called}, not lrserve.output.say"
                )


def test_the_client_itself_shows_no_raw_text_when_it_watches(hostile: str, there: dict[str, str]) -> None:
    drawn = io.StringIO()
    with Client(hostile, retries=0) as client:
        try:
            client.handle(there["job"]).watch(HOSTILE, Console(file=drawn, width=400, color_system=None))
        except Exception as error:
            assert_plain(visible(str(error)))

    assert_plain(drawn.getvalue())
