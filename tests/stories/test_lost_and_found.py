"""What goes wrong on machines, and what becomes of the jobs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.client import ApiError, Client
from cli.embedded import bundled_server, installed_server
from cli.stack import free_port
from lrcore.jobs.connection import connect
from lrcore.jobs.job import Epoch
from lrcore.jobs.queue import QUEUE, broker_list
from lrcore.jobs.retention import Retention
from lrcore.jobs.settings import Settings
from lrcore.jobs.spec import JobSpec
from lrcore.jobs.store import JobStore
from tests.conftest import Service, job_spec, long_job, redis_process, running_service, until

LRSERVE = Path(sys.executable).parent / "lrserve"


def figures(epochs: list[Epoch]) -> list[dict[str, Any]]:
    return [epoch.model_dump(exclude={"seconds"}) for epoch in epochs]


def a_few_epochs(service: Service, job_id: str) -> None:
    """Wait until the job has finished two epochs."""
    until(lambda: len(service.client.metrics(job_id)) >= 2)


@pytest.fixture(scope="module")
def undisturbed(service: Service) -> list[dict[str, Any]]:
    """The figures of `long_job()` when nothing happens to it."""
    return figures(service.client.metrics(service.train(long_job()).id))


def test_a_job_survives_the_death_of_its_worker(tmp_path: Path, undisturbed: list[dict[str, Any]]) -> None:
    with running_service(tmp_path, lease_seconds=2, heartbeat_seconds=0.2, reap_seconds=0.2) as service:
        job = service.client.submit(long_job())
        a_few_epochs(service, job.id)

        service.kill("worker 0")
        service.revive("worker 0")
        ended = service.ended(job.id)

        assert (ended.state, ended.attempt) == ("succeeded", 2)
        assert figures(service.client.metrics(job.id)) == undisturbed


def test_another_worker_takes_over_when_a_lease_runs_out(tmp_path: Path, undisturbed: list[dict[str, Any]]) -> None:
    with running_service(tmp_path, workers=2, lease_seconds=2, heartbeat_seconds=0.2, reap_seconds=0.2) as service:
        job = service.client.submit(long_job())
        a_few_epochs(service, job.id)

        frozen = service.process(holder(service, job.id))
        frozen.send_signal(signal.SIGSTOP)
        ended = service.ended(job.id)
        frozen.send_signal(signal.SIGCONT)  # a zombie: it still believes that the job is its own
        until(lambda: "is fenced" in service.log.read_text())

        assert (ended.state, ended.attempt) == ("succeeded", 2)
        assert service.client.job(job.id) == ended
        assert figures(service.client.metrics(job.id)) == undisturbed


def holder(service: Service, job_id: str) -> str:
    """The service whose process holds the job."""
    name = connect(redis_url(service)).hget(f"lrserve:job:{job_id}", "worker")
    return next(s.name for s in service.stack.services if s.command[-1] == name)


def redis_url(service: Service) -> str:
    """Where the service's Redis is."""
    return next(s for s in service.stack.services if s.name == "api").environment["LRSERVE_REDIS_URL"]


def test_a_worker_that_is_told_to_end_gives_its_job_back(tmp_path: Path, undisturbed: list[dict[str, Any]]) -> None:
    with running_service(tmp_path) as service:
        job = service.client.submit(long_job())
        a_few_epochs(service, job.id)

        worker = service.process("worker 0")
        worker.terminate()
        assert worker.wait(30) == 0
        assert service.client.job(job.id).state == "queued"
        service.revive("worker 0")
        ended = service.ended(job.id)

        assert (ended.state, ended.attempt) == ("succeeded", 2)
        assert figures(service.client.metrics(job.id)) == undisturbed


def test_a_job_whose_message_was_lost_runs_all_the_same(tmp_path: Path) -> None:
    with running_service(tmp_path, workers=1, reap_seconds=0.2) as service:
        redis = connect(redis_url(service))
        first = service.client.submit(long_job())
        waiting = [service.client.submit(job_spec(seed=seed)).id for seed in range(3)]

        redis.delete(broker_list(QUEUE))
        service.client.cancel(first.id)

        assert [service.ended(job_id).state for job_id in waiting] == ["succeeded"] * 3


def test_epochs_that_redis_lost_are_told_again(tmp_path: Path, undisturbed: list[dict[str, Any]]) -> None:
    with running_service(tmp_path) as service:
        job = service.client.submit(long_job())
        a_few_epochs(service, job.id)

        connect(redis_url(service)).delete(f"lrserve:epochs:{job.id}")
        ended = service.ended(job.id)

        assert (ended.state, ended.attempt) == ("succeeded", 1)
        assert figures(service.client.metrics(job.id)) == undisturbed


def test_jobs_that_ended_long_ago_are_removed_by_one_of_many(tmp_path: Path) -> None:
    with redis_process(tmp_path / "redis") as url:
        store = JobStore(connect(url))
        settings = Settings(redis_url=url, home=tmp_path, retention_days=0.1 / 86_400)
        removers = [Retention(store, settings) for _ in range(4)]
        kept = tmp_path / "artifacts" / "kept"
        ids = [store.create(JobSpec.model_validate(job_spec())).id for _ in range(20)]
        for job_id in ids:
            store.cancel(job_id)
            (tmp_path / "artifacts" / job_id).mkdir(parents=True)
        kept.mkdir()
        time.sleep(0.2)

        with ThreadPoolExecutor(4) as pool:
            removed = list(pool.map(lambda i: removers[i % 4].remove_one(), range(30)))

        assert sorted(removed) == [False] * 10 + [True] * 20
        assert store.page()[0] == []
        assert list((tmp_path / "artifacts").iterdir()) == [kept]


def test_a_job_whose_files_cannot_be_removed_holds_up_no_other(tmp_path: Path) -> None:
    with redis_process(tmp_path / "redis") as url:
        store = JobStore(connect(url))
        remover = Retention(store, Settings(redis_url=url, home=tmp_path, retention_days=0.1 / 86_400))
        stuck, other = (store.create(JobSpec.model_validate(job_spec())).id for _ in range(2))
        (tmp_path / "artifacts").mkdir()
        (tmp_path / "artifacts" / stuck).symlink_to(tmp_path / "artifacts" / stuck)  # a loop: nobody can read it
        for job_id in (stuck, other):
            store.cancel(job_id)
        time.sleep(0.2)

        assert [remover.remove_one() for _ in range(3)] == [True, True, False]
        assert [job.id for job in store.page()[0]] in ([stuck], [])


def test_a_job_that_redis_lost_is_not_made_again(tmp_path: Path) -> None:
    with running_service(tmp_path) as service:
        job = service.client.submit(long_job())
        a_few_epochs(service, job.id)
        redis = connect(redis_url(service))

        redis.flushall()
        until(lambda: "is missing" in service.log.read_text())

        assert service.http.get(f"/v1/jobs/{job.id}").status_code == 404
        assert redis.keys(f"*{job.id}*") == []
        assert service.train(job_spec()).state == "succeeded"


def data_that_hang(home: Path) -> dict[str, Any]:
    """A job whose data cannot be loaded: opening a file of theirs hangs, as on a network drive that died."""
    (home / "datasets").mkdir(parents=True)
    os.mkfifo(home / "datasets" / ".fashion-mnist.lock")
    return job_spec(dataset={"type": "fashion-mnist"})


def test_a_worker_that_stands_still_ends_and_its_job_goes_to_another(tmp_path: Path) -> None:
    spec = data_that_hang(tmp_path)
    with running_service(tmp_path, stall_seconds=4, max_losses=0, reap_seconds=0.2) as service:
        job = service.client.submit(spec)

        assert service.process("worker 0").wait(60) == 75
        ended = service.ended(job.id)

        assert (ended.state, ended.losses) == ("failed", 1)
        assert ended.error is not None
        assert ended.error.type == "worker_lost"
        service.revive("worker 0")
        assert service.train(job_spec()).state == "succeeded"


def test_a_job_is_cancelled_while_its_data_are_loaded(tmp_path: Path) -> None:
    spec = data_that_hang(tmp_path)
    with running_service(tmp_path) as service:
        job = service.client.submit(spec)
        until(lambda: service.client.job(job.id).state == "running")

        service.client.cancel(job.id)

        assert service.ended(job.id, 2).state == "cancelled"
        assert service.train(job_spec()).state == "succeeded"


def test_a_worker_is_told_to_end_while_data_are_loaded(tmp_path: Path) -> None:
    spec = data_that_hang(tmp_path)
    with running_service(tmp_path) as service:
        job = service.client.submit(spec)
        until(lambda: service.client.job(job.id).state == "running")

        worker, start = service.process("worker 0"), time.monotonic()
        worker.terminate()
        assert worker.wait(30) == 0
        assert time.monotonic() - start < 5

        assert service.client.job(job.id).state == "queued"


def test_a_worker_is_told_to_end_while_redis_is_away(tmp_path: Path, undisturbed: list[dict[str, Any]]) -> None:
    with running_service(tmp_path, lease_seconds=2, reap_seconds=0.2) as service:
        job = service.client.submit(long_job())
        a_few_epochs(service, job.id)

        service.kill("redis")
        worker, start = service.process("worker 0"), time.monotonic()
        worker.terminate()
        assert worker.wait(30) == 0
        assert time.monotonic() - start < 5
        service.revive("redis")  # and whatever else has ended
        until(lambda: _job_or_none(service.client, job.id))
        ended = service.ended(job.id)

        assert ended.state == "succeeded"
        assert figures(service.client.metrics(job.id)) == undisturbed


def test_open_streams_do_not_keep_the_api_from_ending(tmp_path: Path) -> None:
    with running_service(tmp_path) as service:
        job = service.client.submit(long_job(epochs=1000))
        with ExitStack() as streams:
            for _ in range(20):
                stream = streams.enter_context(service.http.stream("GET", f"/v1/jobs/{job.id}/events"))
                lines = stream.iter_lines()
                next(lines)
            api, start = service.process("api"), time.monotonic()
            api.terminate()
            assert api.wait(30) == -signal.SIGTERM  # uvicorn passes it on once it has ended everything
            assert time.monotonic() - start < 5
            assert list(lines)  # it came to its end, and was not broken off
        service.revive("api")


def test_a_cpu_worker_takes_no_job_that_asks_for_a_gpu(tmp_path: Path) -> None:
    with running_service(tmp_path, reap_seconds=0.2) as service:
        odd = service.http.post("/v1/jobs", json=job_spec(hardware="unacked")).json()  # also a name of the broker's own
        service.client.cancel(odd["id"])
        gpu = service.http.post("/v1/jobs", json=job_spec(hardware="gpu", priority=9)).json()
        cpu = service.http.post("/v1/jobs", json=job_spec(hardware="cpu")).json()

        assert service.ended(cpu["id"]).state == "succeeded"
        assert service.train(job_spec()).state == "succeeded"
        assert service.client.job(gpu["id"]).state == "queued"
        until(lambda: "unacked" not in service.http.get("/readyz").json()["queues"])
        assert service.http.get("/readyz").json()["queues"] == {
            "cpu": {"waiting": 0, "workers": 1},
            "default": {"waiting": 0, "workers": 1},
            "gpu": {"waiting": 1, "workers": 0},
        }


def test_jobs_that_ended_long_ago_are_removed_with_their_files(tmp_path: Path) -> None:
    with running_service(tmp_path, retention_days=1 / 86_400, reap_seconds=0.2) as service:
        job = service.client.submit(job_spec())

        until(lambda: service.http.get(f"/v1/jobs/{job.id}").status_code == 404)

        assert not (tmp_path / "artifacts" / job.id).exists()
        assert connect(redis_url(service)).keys(f"*{job.id}*") == []


def test_a_job_that_keeps_losing_its_workers_fails(tmp_path: Path) -> None:
    with running_service(tmp_path, lease_seconds=1, heartbeat_seconds=0.2, reap_seconds=0.2, max_losses=1) as service:
        job = service.client.submit(long_job())

        for attempt in (1, 2):
            until(lambda attempt=attempt: service.client.job(job.id).attempt == attempt)  # type: ignore[misc]
            service.kill("worker 0")
            service.revive("worker 0")
        ended = service.ended(job.id)

        assert (ended.state, ended.attempt) == ("failed", 2)
        assert ended.error is not None
        assert ended.error.type == "worker_lost"
        assert service.train(job_spec()).state == "succeeded"


def test_without_redis_curves_go_on_and_jobs_answer_503(tmp_path: Path) -> None:
    with running_service(tmp_path) as service:
        job = service.train(job_spec())
        service.process("redis").terminate()
        service.process("redis").wait(10)

        curve = service.client.curve({"type": "StepLR", "step_size": 5}, base_lr=0.1, steps=3)
        refused = [service.http.get(f"/v1/jobs/{job.id}"), service.http.post("/v1/jobs", json=job_spec())]
        assert service.http.get("/healthz").status_code == 200
        assert service.http.get("/readyz").status_code == 503
        service.revive("redis")
        found = until(lambda: _job_or_none(service.client, job.id))

        assert curve.tolist() == [0.1, 0.1, 0.1]
        for answer in refused:
            assert answer.status_code == 503
            assert answer.headers["content-type"] == "application/problem+json"
            assert int(answer.headers["retry-after"]) > 0
        assert found == job


def test_a_frozen_redis_is_a_503_too(tmp_path: Path) -> None:
    with running_service(tmp_path) as service:
        redis = service.process("redis")
        redis.send_signal(signal.SIGSTOP)
        try:
            # Four times the API's threads: each would wait for those before it. One client, since each reads all of the
            # system's certificates when it is made
            with httpx.Client(timeout=60, limits=httpx.Limits(max_connections=160)) as client:
                start = time.monotonic()
                with ThreadPoolExecutor(160) as pool:
                    answers = list(pool.map(lambda _: client.get(f"{service.url}/v1/jobs"), range(160)))
                took = time.monotonic() - start
        finally:
            redis.send_signal(signal.SIGCONT)

        assert [answer.status_code for answer in answers] == [503] * 160
        assert took < 10
        until(lambda: service.http.get("/readyz").status_code == 200, 5)
        assert service.train(job_spec()).state == "succeeded"


def test_training_outlives_a_restart_of_redis(tmp_path: Path, undisturbed: list[dict[str, Any]]) -> None:
    with running_service(tmp_path) as service:
        job = service.client.submit(long_job())
        a_few_epochs(service, job.id)

        service.kill("redis")
        service.revive("redis")
        until(lambda: _job_or_none(service.client, job.id))
        ended = service.ended(job.id)

        assert (ended.state, ended.attempt) == ("succeeded", 1)
        assert figures(service.client.metrics(job.id)) == undisturbed


def _job_or_none(client: Client, job_id: str) -> object:
    try:
        return client.job(job_id)
    except ApiError:
        return None


@contextmanager
def lrserve_up(home: Path, path: str | None = None) -> Iterator[tuple[subprocess.Popen[str], Client]]:
    """`lrserve up` as a user starts it."""
    port = free_port()
    environment = {k: v for k, v in os.environ.items() if k != "LRSERVE_REDIS_URL"} | {"LRSERVE_HOME": str(home)}
    if path is not None:
        environment["PATH"] = path
    process = subprocess.Popen(
        [LRSERVE, "up", "--port", str(port)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if "lrserve is up" in line:
                break
        else:
            raise AssertionError("lrserve up has ended")
        with Client(f"http://127.0.0.1:{port}") as client:
            yield process, client
    finally:
        process.stdout.close()
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.mark.parametrize("server", ["bundled", "installed"])
def test_up_ends_cleanly_and_has_every_job_when_it_is_back(
    server: str, tmp_path: Path, undisturbed: list[dict[str, Any]]
) -> None:
    binary = {"bundled": bundled_server, "installed": installed_server}[server]()
    if binary is None:
        pytest.skip(f"no {server} Redis server: see the Makefile's target redis-server")
    path = "/nonexistent" if server == "bundled" else str(binary.parent)

    with lrserve_up(tmp_path, path) as (process, client):
        done = client.submit(job_spec())
        until(lambda: client.job(done.id).state.ended)
        before = client.job(done.id)
        running, waiting = client.submit(long_job()), client.submit(job_spec())
        until(lambda: len(client.metrics(running.id)) >= 2)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0

    with lrserve_up(tmp_path, path) as (process, client):
        assert client.job(done.id) == before
        until(lambda: client.job(waiting.id).state.ended, 120)
        assert client.job(running.id).state == "succeeded"
        assert figures(client.metrics(running.id)) == undisturbed
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_up_has_every_job_after_a_kill(tmp_path: Path, undisturbed: list[dict[str, Any]]) -> None:
    with lrserve_up(tmp_path) as (process, client):
        job = client.submit(long_job())
        until(lambda: len(client.metrics(job.id)) >= 2)
        process.kill()
        process.wait()

    until(lambda: not _locked(tmp_path))
    with lrserve_up(tmp_path) as (process, client):
        until(lambda: client.job(job.id).state.ended, 120)
        assert client.job(job.id).state == "succeeded"
        assert figures(client.metrics(job.id)) == undisturbed
        process.terminate()
        assert process.wait(30) == 0


def _locked(home: Path) -> bool:
    """Whether the Redis of an `up` that was killed is still ending."""
    return any(str(home) in Path(f"/proc/{pid}/cmdline").read_text() for pid in _pids())


def _pids() -> list[str]:
    return [entry for entry in os.listdir("/proc") if entry.isdigit() and Path(f"/proc/{entry}/cmdline").exists()]


def test_a_redis_of_one_s_own_is_used_and_left_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with redis_process(tmp_path / "own") as url:
        monkeypatch.setenv("LRSERVE_REDIS_URL", url)
        with running_service(tmp_path / "home") as service:
            job = service.train(job_spec())
            assert "redis" not in [s.name for s in service.stack.services]

        assert connect(url).hget(f"lrserve:job:{job.id}", "state") == "succeeded"


def test_the_demo_runs_from_nothing(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LRSERVE_")} | {"COLUMNS": "120"}
    done = subprocess.run(
        [LRSERVE, "demo", "--output", str(tmp_path)], env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    rows = {line.split("│")[1].strip(): line.split("│") for line in done.stdout.splitlines() if line.startswith("│")}
    assert float(rows["StepLR"][2]) > 0.95
    assert float(rows["fixed rate"][3]) > 0.9
    assert sorted(file.name for file in tmp_path.iterdir()) == ["curve.png", "fixed-rate.png", "steplr.png"]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in tmp_path.iterdir())
    assert "  19  0.0125" in done.stdout
