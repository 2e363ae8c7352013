"""The Python client against a running server, in both its flavours."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from rich.console import Console

from lrcore.curve import CurveRequest, sample
from lrcore.schedules import SCHEDULES
from lrcore.schedules.step import StepLR
from lrserve.client import ApiError, AsyncClient, Client, JobNotSucceeded, NoAnswer
from lrserve.supervisor import free_port
from tests.conftest import Service
from tests.factories import job_spec, long_job

STEP = {"type": "StepLR", "step_size": 5, "gamma": 0.5}


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[Client]:
    with Client(service.url) as made:
        yield made


@pytest.fixture(scope="module")
def trained(client: Client) -> str:
    return client.wait(client.submit(job_spec()).id).id


@pytest.fixture(scope="module")
def experiment(client: Client) -> str:
    return client.wait(client.submit_experiment(job_spec(epochs=2), {"lr": [0.1, 0.01], "seed": [0, 1]}).id).id


@pytest.mark.parametrize("name", ["OneCycleLR", "CyclicLR", "CosineAnnealingLR"])
def test_a_curve_and_its_momentum_are_those_of_the_library_to_the_last_bit(name: str, client: Client) -> None:
    schedule = SCHEDULES[name].model_validate(SCHEDULES[name].example)
    asked: dict[str, Any] = {"steps": 6, "base_lr": 0.1, "stride": 3}
    expected = sample(CurveRequest.model_validate({"schedule": schedule.model_dump(mode="json")} | asked))

    rates, details = client.curve(schedule, **asked), client.curve_details(schedule, **asked)

    assert rates.dtype == np.float64
    np.testing.assert_array_equal(rates, expected.lr[0])
    np.testing.assert_array_equal(details.lr, expected.lr[0])
    assert (details.momentum is None) == (expected.momentum is None)
    if expected.momentum is not None:
        np.testing.assert_array_equal(details.momentum, expected.momentum[0])


def test_a_curve_has_a_row_a_parameter_group(client: Client) -> None:
    assert client.curve(STEP, 6, [0.1, 0.2]).tolist() == [[0.1] * 5 + [0.05], [0.2] * 5 + [0.1]]
    assert client.curve(StepLR(type="StepLR", step_size=5, gamma=0.5), 6, np.array([0.1])).shape == (1, 6)


def test_curves_are_compared_by_name(client: Client) -> None:
    found = client.compare({"a": STEP, "b": {"schedule": {"type": "ConstantLR"}, "base_lr": 3}}, 2, 0.1)

    assert {name: each.lr.tolist() for name, each in found.items()} == {"a": [0.1, 0.1], "b": [1.0, 1.0]}
    assert client.compare_as("svg", {"a": STEP}, 2, 0.1).startswith(b"<?xml")


def test_schedules_are_listed_translated_read_and_found_again(client: Client) -> None:
    rates = client.curve(STEP, 20, 0.1)
    best = client.fit(rates)[0]
    read = client.read({"step_size": 5, "gamma": 0.5, "last_epoch": 0, "base_lrs": [0.1]})

    assert [each.type for each in client.schedules()] == list(SCHEDULES)
    assert client.schedule("StepLR").formula
    assert "StepLR" in client.translate(STEP, "torch", 0.1).code
    assert best.exact
    assert (read.framework, read.schedule, read.base_lr) == ("torch", STEP, 0.1)
    np.testing.assert_allclose(client.curve(best.schedule, 20, best.base_lr), rates, rtol=1e-9)


def test_a_job_is_submitted_followed_and_looked_at(client: Client, tmp_path: Path) -> None:
    job = client.submit(job_spec(schedule=StepLR(type="StepLR", step_size=1, gamma=0.5)))
    events = list(job.events())
    ended = job.wait(240)
    epochs = job.metrics()
    frame = epochs.frame()

    assert job.spec["schedule"]["step_size"] == 1
    assert [event.data["epoch"] for event in events if event.type == "epoch"] == [0, 1, 2]
    assert (events[-1].type, ended.state) == ("end", "succeeded")
    assert frame["lr"].tolist() == [epoch.lr[0] for epoch in epochs] == [0.1, 0.05, 0.025]
    assert frame["test_loss"].tolist() == [epoch.test_loss for epoch in epochs]
    assert job.plot("svg").startswith(b"<?xml")
    sizes = {artifact.name: artifact.size for artifact in job.artifacts()}
    files = job.download(tmp_path / "made")
    assert {file.name: file.stat().st_size for file in files} == sizes
    assert job.download(tmp_path, ["spec.json"]) == [tmp_path / "spec.json"]
    job.delete()
    with pytest.raises(ApiError, match="Job not found") as caught:
        job.now()
    assert (caught.value.status, caught.value.type) == (404, "urn:lrserve:problem:job-not-found")


def test_a_job_is_watched_with_a_bar(client: Client) -> None:
    console = Console(record=True, force_terminal=True, width=120)

    ended = client.submit(job_spec()).watch("three epochs", console)

    shown = console.export_text()
    assert ended.state == "succeeded"
    assert "three epochs" in shown
    assert "100%" in shown
    assert f"test {ended.metrics.test_loss:.3f}" in shown  # type: ignore[union-attr]


def test_a_job_is_controlled_by_its_handle(client: Client) -> None:
    busy = client.submit(long_job(epochs=2000))
    waiting = client.submit(job_spec())

    assert waiting.pause().state == "paused"
    with pytest.raises(TimeoutError, match=r"has not ended within 0\.2 s; it is paused"):
        waiting.wait(0.2)
    assert waiting.resume().state == "queued"
    assert waiting.prioritize(7).priority == 7
    assert waiting.cancel().state == "cancelled"
    other = waiting.clone({"epochs": 1, "labels": ["other"]})
    again = waiting.retry()
    assert (other.spec["epochs"], again.spec) == (1, waiting.spec)
    assert [other.cancel().state, again.cancel().state] == ["cancelled", "cancelled"]
    busy.cancel()
    assert busy.wait(240).state == "cancelled"


def test_all_jobs_are_listed_page_by_page(client: Client) -> None:
    specs = [job_spec(labels=["pages"], epochs=1, seed=seed) for seed in range(5)]
    made = [client.submit(spec) for spec in specs]
    found = [job.id for job in client.jobs(label="pages", page_size=2)]
    for job in made:
        job.cancel()

    assert found == [job.id for job in reversed(made)]
    assert len(list(islice(client.jobs(page_size=1), 3))) == 3


def test_a_dry_run_and_an_id_of_one_s_own(client: Client) -> None:
    assert client.dry_run(job_spec()).steps == 12
    assert client.dry_run({"base": job_spec(), "grid": {"lr": [0.1, 0.2]}}).runs == 2
    first, again = (client.submit(job_spec(), job_id="of-a-client") for _ in range(2))
    first.cancel()
    assert first.id == again.id == "of-a-client"


def test_an_experiment_is_a_leaderboard_runs_and_epochs(client: Client, experiment: str) -> None:
    made = client.experiment(experiment)
    board, epochs, runs = made.leaderboard(), made.epochs(), made.runs()
    ranked, each_epoch, each_run = board.frame(), epochs.frame(), runs.frame()

    assert isinstance(ranked, pandas.DataFrame)
    assert ranked["configuration"].tolist() == [row.configuration for row in board]
    assert ranked["final_mean"].tolist() == [row.final_test_accuracy.mean for row in board]  # type: ignore[union-attr]
    assert each_epoch.groupby("run").size().to_dict() == dict.fromkeys(range(4), 2)
    assert each_epoch["test_accuracy"].tolist() == [float(row["test_accuracy"]) for row in epochs]
    assert each_run["seed"].tolist() == [run.seed for run in runs] == [0, 1, 0, 1]
    assert made.run(3)["spec"]["optimizer"]["lr"] == 0.01
    assert experiment in [job.id for job in client.experiments()]


def test_a_range_test_suggests(client: Client) -> None:
    test = client.lr_range_test(job_spec(), start_lr=1e-4, end_lr=10, num_iter=30)
    found = test.result(240)

    assert len(found.lr) == len(found.smoothed_loss) <= 30
    assert {*found.suggestion.model_dump()} == {"steepest", "valley", "max_lr", "reasons"}


def test_a_result_of_a_test_that_failed_is_an_error(client: Client) -> None:
    test = client.lr_range_test(long_job(), num_iter=2000)
    test.cancel()

    with pytest.raises(JobNotSucceeded, match="cancelled") as caught:
        test.result(240)
    assert caught.value.job.id == test.id


def test_the_asynchronous_client_does_the_same(service: Service, client: Client, trained: str, tmp_path: Path) -> None:
    async def all_of_it() -> dict[str, Any]:
        async with AsyncClient(service.url) as other:
            job = await other.submit(job_spec())
            events = [event async for event in job.events()]
            test = await other.lr_range_test(job_spec(), num_iter=10)
            with pytest.raises(TimeoutError):
                await other.wait(test.id, 0)
            rates, ready, result = await asyncio.gather(other.curve(STEP, 6, 0.1), other.ready(), test.result(240))
            return {
                "rates": rates.tolist(),
                "events": Counter(event.type for event in events),
                "ended": (await job.wait()).state,
                "watched": (await job.watch(console=Console(quiet=True))).state,
                "metrics": await job.metrics(),
                "files": [file.name for file in await job.download(tmp_path)],
                "listed": [each.id async for each in other.jobs(page_size=1, state="succeeded")],
                "ready": ready,
                "tried": len(result.lr),
            }

    found = asyncio.run(all_of_it())

    assert found["rates"] == client.curve(STEP, 6, 0.1).tolist()
    assert (found["events"]["epoch"], found["events"]["end"]) == (3, 1)
    assert found["ended"] == found["watched"] == "succeeded"
    assert [epoch.test_loss for epoch in found["metrics"]] == [each.test_loss for each in client.metrics(trained)]
    assert found["files"] == [artifact.name for artifact in client.artifacts(trained)]
    assert found["listed"] == [each.id for each in client.jobs(state="succeeded")]
    assert found["ready"].workers == client.ready().workers
    assert found["tried"] == 10


@pytest.mark.slow
def test_a_type_checker_knows_both_flavours(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "from lrserve.client import AsyncClient, Client\n"
        "client, other = Client(), AsyncClient()\n"
        "reveal_type(client.submit({}))\n"
        "reveal_type(client.jobs)\n"
        "async def main() -> None:\n"
        "    reveal_type(await other.submit_experiment({}, {}))\n"
        "    reveal_type(await (await other.lr_range_test({})).result())\n"
        "    async for job in other.jobs(label='a'):\n"
        "        reveal_type(job)\n"
        "client.curve({}, stepps=3)\n"
    )
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-pretty", str(program)],
        capture_output=True,
        text=True,
        check=False,
    )
    found = checked.stdout

    for seen in (
        "lrserve.client.handles.JobHandle",
        "label: str | None",
        "lrserve.client.handles.AsyncExperimentHandle",
        "lrcore.jobs.range_test.RangeTestResult",
        "lrcore.jobs.job.Job",
    ):
        assert f'"{seen}"' in found or seen in found, found
    assert 'Unexpected keyword argument "stepps"' in found
    assert found.count(" error: ") == 1


def test_what_is_refused_is_told_by_field(client: Client) -> None:
    with pytest.raises(ApiError, match=r"body\.schedule\.step_size: Input should be greater") as caught:
        client.curve(STEP | {"step_size": 0}, 3, 0.1)

    assert (caught.value.status, caught.value.title) == (422, "Invalid input")
    assert caught.value.errors[0]["loc"] == ["body", "schedule", "step_size"]
    assert caught.value.detail


def test_what_is_no_json_is_refused_here(client: Client) -> None:
    with pytest.raises(ApiError, match="cannot be sent as JSON"):
        client.curve(STEP, 3, float("nan"))


@pytest.mark.parametrize("url", ["http://[", "ftp://example.org", "nonsense", "localhost:8000"])
def test_a_url_that_is_none_is_an_error(url: str) -> None:
    with pytest.raises(ApiError, match="is no URL" if "[" not in url else None), Client(url, retries=0) as client:
        client.health()


def test_a_key_that_no_header_can_have_is_an_error() -> None:
    with pytest.raises(ApiError, match="the key is none"):
        Client(key="schlüssel")


class Between:
    """Passes connections on to a server, and does something to the first ones.

    Args:
        harm: takes the number of the connection and the bytes of its answer, and returns what the client gets; None
            for a connection that breaks.
    """

    def __init__(self, to: int, harm: Callable[[int, bytes], bytes | None]) -> None:
        self._to, self._harm, self.seen = to, harm, 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, socket.create_connection(("127.0.0.1", self._to)) as server:
                self.seen += 1
                request = b""
                while b"\r\n\r\n" not in request:
                    request += client.recv(65536)
                head, _, body = request.partition(b"\r\n\r\n")
                headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
                length = int(headers.get(b"content-length", 0))
                while len(body) < length:
                    body += client.recv(65536)
                server.sendall(head.replace(b"Connection: keep-alive", b"Connection: close") + b"\r\n\r\n" + body)
                answer = b"".join(iter(lambda: server.recv(65536), b""))
                if (changed := self._harm(self.seen, answer)) is not None:
                    client.sendall(changed)

    def close(self) -> None:
        self._listener.close()


def refuse(status: str, after: int) -> bytes:
    return f"HTTP/1.1 {status}\r\nRetry-After: {after}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


def test_a_submit_whose_answer_is_lost_makes_one_job(service: Service) -> None:
    lost = {2, 3}  # the first answer says which job types there are
    proxy = Between(service.stack.port, lambda number, answer: None if number in lost else answer)
    try:
        with Client(proxy.url) as client:
            job = client.submit(job_spec(labels=["lost-answer"]))
        assert proxy.seen == 4
        service.ended(job.id)
        proxy.seen, lost = 0, {1, 2}
        with Client(proxy.url) as client:
            again = client.retry(job.id)
    finally:
        proxy.close()

    assert {each.id for each in service.client.jobs(label="lost-answer")} == {job.id, again.id}
    service.ended(again.id)


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
def test_a_server_that_asks_for_patience_is_asked_again(status: str, service: Service) -> None:
    proxy = Between(service.stack.port, lambda number, answer: refuse(status, 0) if number <= 2 else answer)
    try:
        with Client(proxy.url) as client:
            assert client.curve(STEP, 1, 0.1).tolist() == [0.1]
        with Client(proxy.url, retries=0) as hasty:
            assert hasty.curve(STEP, 1, 0.1).tolist() == [0.1]
    finally:
        proxy.close()
    assert proxy.seen == 4


def test_patience_ends(service: Service) -> None:
    proxy = Between(service.stack.port, lambda number, answer: refuse("503 Service Unavailable", 30))
    try:
        with Client(proxy.url, patience=10) as client, pytest.raises(ApiError, match="503") as caught:
            client.submit(job_spec())
        assert proxy.seen == 1
        assert caught.value.retry_after == 30
        with Client(proxy.url) as client, pytest.raises(ApiError, match="503"):
            client.ready()
        assert proxy.seen == 2
    finally:
        proxy.close()


def test_what_would_be_done_twice_is_not_sent_again(service: Service) -> None:
    proxy = Between(service.stack.port, lambda number, answer: None)
    try:
        with Client(proxy.url) as client, pytest.raises(NoAnswer):
            client.create_webhook("https://example.org/once")
    finally:
        proxy.close()
    assert proxy.seen == 1
    [made] = [each for each in service.client.webhooks() if each.url == "https://example.org/once"]
    service.client.delete_webhook(made.id)


def test_a_server_that_is_not_there_is_given_up_after_some_attempts() -> None:
    with Client(f"http://127.0.0.1:{free_port()}", retries=1) as client, pytest.raises(NoAnswer, match="not answer"):
        client.submit({})


class Streams(BaseHTTPRequestHandler):
    """A stream of events that breaks after each of them: the server's part is played, so that it breaks on time."""

    asked: list[str] = []

    def do_GET(self) -> None:
        after = int(self.headers["Last-Event-ID"])
        self.asked.append(self.headers["Last-Event-ID"])
        if len(self.asked) == 2:
            self.send_error(503)
            return
        self.send_response(200)
        self.end_headers()
        kind = "end" if after == 2 else "epoch"
        data = json.dumps({"text": "one line\u2028or two?"}, ensure_ascii=False).encode()
        for piece in (f": ping\n\nid: {after + 1}\nev".encode(), f"ent: {kind}\r\ndata: ".encode(), data, b"\r\n\r\n"):
            self.wfile.write(piece)
            self.wfile.flush()

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.mark.parametrize("flavour", [Client, AsyncClient])
def test_events_go_on_where_a_stream_broke(flavour: Any) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Streams)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Streams.asked = []
    url = f"http://127.0.0.1:{server.server_port}"

    async def followed() -> list[Any]:
        async with AsyncClient(url) as client:
            return [event async for event in client.follow("some-job")]

    try:
        if flavour is Client:
            with Client(url) as client:
                events = list(client.follow("some-job"))
        else:
            events = asyncio.run(followed())
    finally:
        server.shutdown()
        server.server_close()

    assert [(event.id, event.type) for event in events] == [("1", "epoch"), ("2", "epoch"), ("3", "end")]
    assert {event.data["text"] for event in events} == {"one line\u2028or two?"}
    assert Streams.asked == ["0", "1", "1", "2"]
