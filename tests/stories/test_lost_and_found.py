"""What goes wrong on machines, and what becomes of the jobs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from lrcore.service.retention import Retention
from lrcore.service.settings import Settings
from lrcore.store.connection import connect
from lrcore.store.queue import QUEUE, broker_list
from lrserve.client import ApiError, Client
from tests.conftest import Service, redis_process, running_service, until
from tests.factories import job_spec, long_job, training_spec
from tests.stores import JobStore
from tests.stories.conftest import a_few_epochs, figures


@pytest.fixture(scope="module")
def one_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_service(tmp_path_factory.mktemp("stories") / "home", reap_seconds=0.2) as service:
        yield service


@pytest.fixture
def steady(one_worker: Service) -> Iterator[Service]:
    """An lrserve for stories after which everything runs again, and nothing is left to do."""
    yield one_worker
    for each in one_worker.stack.services:
        each.failures = 0  # they end in story after story, and that is no reason to give up

    def runs_again() -> bool:
        one_worker.stack.keep_running()
        return one_worker.http.get("/readyz").status_code == 200

    until(lambda: _or_none(runs_again))
    for job in one_worker.http.get("/v1/jobs?limit=100").raise_for_status().json()["jobs"]:
        if job["state"] in ("queued", "running", "paused"):
            one_worker.client.cancel(job["id"])


@pytest.mark.slow
def test_a_job_survives_the_death_of_its_worker(steady: Service, undisturbed: list[dict[str, Any]]) -> None:
    job = steady.client.submit(long_job())
    a_few_epochs(steady, job.id)

    steady.kill("worker 0")
    steady.revive("worker 0")
    ended = steady.ended(job.id)

    assert (ended.state, ended.attempt) == ("succeeded", 2)
    assert figures(steady.client.metrics(job.id)) == undisturbed


@pytest.mark.slowest
def test_another_worker_takes_over_when_a_lease_runs_out(
    tmp_path: Path, undisturbed: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a Redis of one's own, which is used and left running."""
    settings = {"lease_seconds": 2, "heartbeat_seconds": 0.2, "reap_seconds": 0.2}
    with redis_process(tmp_path / "own") as url:
        monkeypatch.setenv("LRSERVE_REDIS_URL", url)
        with running_service(tmp_path / "home", workers=2, **settings) as service:
            job_id = taken_over(service, undisturbed)
            assert "redis" not in [each.name for each in service.stack.services]

        assert connect(url).hget(f"lrserve:job:{job_id}", "state") == "succeeded"


def taken_over(service: Service, undisturbed: list[dict[str, Any]]) -> str:
    """The id of a job whose worker stood still until another had done it."""
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
    return job.id


def holder(service: Service, job_id: str) -> str:
    """The service whose process holds the job."""
    name = connect(redis_url(service)).hget(f"lrserve:job:{job_id}", "worker")
    return next(s.name for s in service.stack.services if s.command[-1] == name)


def redis_url(service: Service) -> str:
    """Where the service's Redis is."""
    return next(s for s in service.stack.services if s.name == "api").environment["LRSERVE_REDIS_URL"]


@pytest.mark.slow
def test_a_worker_that_is_told_to_end_gives_its_job_back(steady: Service, undisturbed: list[dict[str, Any]]) -> None:
    job = steady.client.submit(long_job())
    a_few_epochs(steady, job.id)

    worker = steady.process("worker 0")
    worker.terminate()
    assert worker.wait(60) == 0
    assert steady.client.job(job.id).state == "queued"
    steady.revive("worker 0")
    ended = steady.ended(job.id)

    assert (ended.state, ended.attempt) == ("succeeded", 2)
    assert figures(steady.client.metrics(job.id)) == undisturbed


@pytest.mark.slow
def test_a_job_whose_message_was_lost_runs_all_the_same(steady: Service) -> None:
    redis = connect(redis_url(steady))
    first = steady.client.submit(long_job())
    waiting = [steady.client.submit(job_spec(seed=seed)).id for seed in range(3)]

    redis.delete(broker_list(QUEUE))
    steady.client.cancel(first.id)

    assert [steady.ended(job_id).state for job_id in waiting] == ["succeeded"] * 3


@pytest.mark.slowest
def test_epochs_that_redis_lost_are_sent_again(steady: Service, undisturbed: list[dict[str, Any]]) -> None:
    job = steady.client.submit(long_job())
    a_few_epochs(steady, job.id)

    connect(redis_url(steady)).delete(f"lrserve:epochs:{job.id}")
    ended = steady.ended(job.id)

    assert (ended.state, ended.attempt) == ("succeeded", 1)
    assert figures(steady.client.metrics(job.id)) == undisturbed


def test_jobs_that_ended_long_ago_are_removed_by_one_of_many(tmp_path: Path) -> None:
    with redis_process(tmp_path / "redis") as url:
        store = JobStore(connect(url))
        settings = Settings(redis_url=url, home=tmp_path, retention_days=0.1 / 86_400)
        removers = [Retention(store, settings) for _ in range(4)]
        kept = tmp_path / "artifacts" / "kept"
        ids = [store.create(training_spec()).id for _ in range(20)]
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
        stuck, other = (store.create(training_spec()).id for _ in range(2))
        (tmp_path / "artifacts").mkdir()
        (tmp_path / "artifacts" / stuck).symlink_to(tmp_path / "artifacts" / stuck)  # a loop: nobody can read it
        for job_id in (stuck, other):
            store.cancel(job_id)
        time.sleep(0.2)

        assert [remover.remove_one() for _ in range(3)] == [True, True, False]
        assert [job.id for job in store.page()[0]] in ([stuck], [])


def test_a_job_that_redis_lost_is_not_made_again(steady: Service) -> None:
    job = steady.client.submit(long_job())
    a_few_epochs(steady, job.id)
    redis = connect(redis_url(steady))

    before = len(steady.log.read_text())
    redis.flushall()
    until(lambda: "is missing" in steady.log.read_text()[before:])

    assert steady.http.get(f"/v1/jobs/{job.id}").status_code == 404
    assert redis.keys(f"*{job.id}*") == []
    assert steady.train(job_spec()).state == "succeeded"


def data_that_hang(home: Path) -> dict[str, Any]:
    """A job whose data cannot be loaded: opening a file of theirs hangs, as on a network drive that died."""
    lock = home / "datasets" / ".fashion-mnist.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.unlink(missing_ok=True)
    os.mkfifo(lock)
    return job_spec(dataset={"type": "fashion-mnist"})


@pytest.mark.slowest
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


def test_a_job_is_cancelled_while_its_data_are_loaded(steady: Service) -> None:
    spec = data_that_hang(steady.stack.settings.home_folder)
    job = steady.client.submit(spec)
    until(lambda: steady.client.job(job.id).state == "running")

    steady.client.cancel(job.id)

    assert steady.ended(job.id).state == "cancelled"
    assert steady.train(job_spec()).state == "succeeded"


@pytest.mark.slowest
def test_a_worker_is_told_to_end_while_data_are_loaded(steady: Service) -> None:
    spec = data_that_hang(steady.stack.settings.home_folder)
    job = steady.client.submit(spec)
    until(lambda: steady.client.job(job.id).state == "running")

    worker = steady.process("worker 0")
    worker.terminate()
    assert worker.wait(60) == 0  # docker-compose.yml gives it no longer
    assert steady.client.job(job.id).state == "queued"


@pytest.mark.slowest
def test_a_worker_is_told_to_end_while_redis_is_away(steady: Service, undisturbed: list[dict[str, Any]]) -> None:
    job = steady.client.submit(long_job())
    a_few_epochs(steady, job.id)

    steady.kill("redis")
    worker = steady.process("worker 0")
    worker.terminate()
    assert worker.wait(60) == 0  # docker-compose.yml gives it no longer
    steady.revive("redis", "worker 0")
    until(lambda: _job_or_none(steady.client, job.id))
    ended = steady.ended(job.id)

    assert ended.state == "succeeded"
    assert figures(steady.client.metrics(job.id)) == undisturbed


@pytest.mark.slow
def test_open_streams_do_not_keep_the_api_from_ending(steady: Service) -> None:
    job = steady.client.submit(long_job(epochs=1000))
    with ExitStack() as streams:
        for _ in range(20):
            stream = streams.enter_context(steady.http.stream("GET", f"/v1/jobs/{job.id}/events"))
            lines = stream.iter_lines()
            next(lines)
        api = steady.process("api")
        api.terminate()
        # at the end of everything uvicorn passes the signal on; docker-compose.yml gives it no longer
        assert api.wait(10) == -signal.SIGTERM
        assert list(lines)  # it came to its end, and was not broken off
    steady.revive("api")


@pytest.mark.slow
def test_a_cpu_worker_takes_no_job_that_asks_for_a_gpu(steady: Service) -> None:
    odd = steady.http.post("/v1/jobs", json=job_spec(hardware="unacked")).json()  # also a name of the broker's own
    steady.client.cancel(odd["id"])
    gpu = steady.http.post("/v1/jobs", json=job_spec(hardware="gpu", priority=9)).json()
    cpu = steady.http.post("/v1/jobs", json=job_spec(hardware="cpu")).json()

    assert steady.ended(cpu["id"]).state == "succeeded"
    assert steady.train(job_spec()).state == "succeeded"
    assert steady.client.job(gpu["id"]).state == "queued"
    until(lambda: "unacked" not in steady.http.get("/readyz").json()["queues"])
    assert steady.http.get("/readyz").json()["queues"] == {
        "cpu": {"waiting": 0, "workers": 1},
        "default": {"waiting": 0, "workers": 1},
        "gpu": {"waiting": 1, "workers": 0},
    }


@pytest.mark.slowest
def test_jobs_that_ended_long_ago_are_removed_with_their_files(tmp_path: Path) -> None:
    with running_service(tmp_path, workers=0, retention_days=0.1 / 86_400) as service:
        job = service.client.submit(job_spec())
        files = tmp_path / "artifacts" / job.id
        files.mkdir(parents=True)
        (files / "spec.json").touch()
        service.client.cancel(job.id)

        until(lambda: service.http.get(f"/v1/jobs/{job.id}").status_code == 404)

        assert not files.exists()
        assert connect(redis_url(service)).keys(f"*{job.id}*") == []


@pytest.mark.slowest
def test_a_job_that_keeps_losing_its_workers_fails(tmp_path: Path) -> None:
    settings = {"lease_seconds": 1, "heartbeat_seconds": 0.2, "reap_seconds": 0.2, "max_losses": 1}
    with running_service(tmp_path, **settings, max_kills=3) as service:  # each loss may be found by lease or by name
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


def test_without_redis_curves_go_on_and_jobs_answer_503(steady: Service) -> None:
    job = steady.train(job_spec())
    steady.process("redis").terminate()
    steady.process("redis").wait(60)

    curve = steady.client.curve({"type": "StepLR", "step_size": 5}, base_lr=0.1, steps=3)
    refused = [steady.http.get(f"/v1/jobs/{job.id}"), steady.http.post("/v1/jobs", json=job_spec())]
    assert steady.http.get("/healthz").status_code == 200
    assert steady.http.get("/readyz").status_code == 503
    steady.revive("redis")
    found = until(lambda: _job_or_none(steady.client, job.id))

    assert curve.tolist() == [0.1, 0.1, 0.1]
    for answer in refused:
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert int(answer.headers["retry-after"]) > 0
    assert found == job


@pytest.mark.slowest
def test_a_frozen_redis_is_a_503_too(steady: Service) -> None:
    redis = steady.process("redis")
    redis.send_signal(signal.SIGSTOP)
    try:
        # One client, since each reads all of the system's certificates when it is made
        with httpx.Client(timeout=120, limits=httpx.Limits(max_connections=160)) as client:
            start = time.monotonic()
            with ThreadPoolExecutor(160) as pool:
                answers = list(pool.map(lambda _: client.get(f"{steady.url}/v1/jobs"), range(400)))
            took = time.monotonic() - start
    finally:
        redis.send_signal(signal.SIGCONT)

    assert [answer.status_code for answer in answers] == [503] * 400
    assert took < 30  # four seconds and what answers take; ten times four if all waited, forty threads at a time
    until(lambda: steady.http.get("/readyz").status_code == 200)
    assert steady.train(job_spec()).state == "succeeded"


@pytest.mark.slow
def test_training_outlives_a_restart_of_redis(steady: Service, undisturbed: list[dict[str, Any]]) -> None:
    job = steady.client.submit(long_job())
    a_few_epochs(steady, job.id)

    steady.kill("redis")
    steady.revive("redis")
    until(lambda: _job_or_none(steady.client, job.id))
    ended = steady.ended(job.id)

    assert (ended.state, ended.attempt) == ("succeeded", 1)
    assert figures(steady.client.metrics(job.id)) == undisturbed


def _job_or_none(client: Client, job_id: str) -> object:
    return _or_none(lambda: client.job(job_id))


def _or_none(call: Callable[[], object]) -> object:
    try:
        return call()
    except (ApiError, httpx.TransportError):
        return None
