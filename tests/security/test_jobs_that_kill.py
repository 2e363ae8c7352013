"""A job ends nothing around it: not the API, not Redis, not the worker for long, and not the jobs of others."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from lrcore.service.settings import Settings
from lrcore.store.connection import connect
from lrserve.supervisor import MOST_FAILURES, ProcessSupervisor, SupervisorError, free_port
from lrserve.worker.engine.memory import free_memory
from tests.conftest import Service, running_service, until
from tests.factories import job_spec, long_job, training_spec
from tests.stores import JobStore

pytestmark = pytest.mark.slow

ABSURD = {"type": "vit", "dim": 2048, "depth": 64, "heads": 16, "mlp_ratio": 16}  # 10 billion parameters
ABSURD_MLP = {"type": "mlp", "hidden": [8192] * 16}  # 1 billion parameters
ABSURD_BYTES = 6 * 4 * 10**9  # of the latter: weights, gradients, two moments, the average and the best ones


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_service(tmp_path_factory.mktemp("kill") / "home") as running:
        yield running


def kill_in_training(service: Service, job_id: str, attempt: int) -> None:
    """Kill the worker once it trains the job, as the system does where memory runs out."""

    redis = connect(redis_url(service))

    def trains() -> bool:
        attempts, sign = redis.hmget(f"lrserve:job:{job_id}", "attempt", "sign")
        return int(attempts or 0) == attempt and str(sign).startswith("training")

    until(trains)
    service.kill("worker 0")


def redis_url(service: Service) -> str:
    return next(s for s in service.stack.services if s.name == "api").environment["LRSERVE_REDIS_URL"]


@pytest.mark.slowest
def test_a_worker_that_dies_over_and_over_ends_neither_redis_nor_the_api(service: Service) -> None:
    others = {name: service.process(name).pid for name in ("redis", "api")}
    worker = next(s for s in service.stack.services if s.name == "worker 0")
    pauses = []
    for _ in range(MOST_FAILURES + 2):
        worker.not_before = 0.0  # the pause is over
        service.stack.keep_running()
        worker.started = time.monotonic()  # the first one, too, dies young
        service.kill("worker 0")
        service.stack.keep_running()
        pauses.append(round(worker.not_before - time.monotonic()))
        assert service.http.get("/healthz").status_code == 200

    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    assert {name: service.process(name).pid for name in others} == others
    worker.failures, worker.not_before = 0, 0.0
    service.stack.keep_running()
    assert service.train(job_spec()).state == "succeeded"


@pytest.mark.slowest
def test_a_worker_that_can_never_start_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "packages" / "torch"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('libcudart.so: cannot open shared object file')")
    monkeypatch.setenv("PYTHONPATH", str(broken.parent))
    monkeypatch.setattr("lrserve.supervisor.LONGEST_PAUSE", 0.1)
    with (tmp_path / "log").open("wb") as log:
        stack = ProcessSupervisor(Settings(home=tmp_path / "home"), "127.0.0.1", free_port(), 1, say=print, log=log)
        with (
            pytest.raises(
                SupervisorError, match=f"worker 0 ended {MOST_FAILURES} times in a row, the last time with exit"
            ),
            stack.running(),
        ):
            pass


@pytest.mark.slowest
def test_a_job_that_kills_its_worker_twice_fails_and_says_so(service: Service) -> None:
    poison = service.client.submit(long_job(epochs=10_000))
    store = JobStore(connect(redis_url(service)))
    other = store.of("other").create(training_spec())
    for attempt in (1, 2):
        kill_in_training(service, poison.id, attempt)
        service.revive("worker 0")
    job = service.ended(poison.id)

    assert (job.state, job.attempt, job.losses) == ("failed", 2, 2)
    assert job.error is not None
    assert job.error.type == "worker_killed"
    for fact in ("died 2 times", "by signal 9 (SIGKILL", "training, step ", f"of {job.progress.steps}", "resident"):
        assert fact in job.error.message
    until(lambda: store.get(other.id).state == "succeeded")


@pytest.mark.slowest
def test_a_run_that_kills_its_worker_fails_with_its_part_and_the_others_go_on(service: Service) -> None:
    grid = {"lr": [0.1, 0.2], "seed": list(range(8))}  # two shards of eight runs, one after the other
    experiment = service.http.post("/v1/experiments", json={"base": long_job(epochs=30), "grid": grid}).json()["id"]
    for attempt in (1, 2):
        kill_in_training(service, f"{experiment}/1", attempt)
        service.revive("worker 0")

    def failed() -> list[dict[str, Any]]:
        runs = service.http.get(f"/v1/experiments/{experiment}").json()["runs"]
        return [run for run in runs if run["state"] == "failed"]

    runs = until(failed)
    until(lambda: connect(redis_url(service)).hget(f"lrserve:job:{experiment}/2", "sign"))  # the other shard's turn
    service.client.cancel(experiment)
    service.ended(experiment)

    assert [run["run"] for run in runs] == list(range(8))
    assert {run["error"]["type"] for run in runs} == {"worker_killed"}
    assert len(failed()) == 8


@pytest.mark.skipif(free_memory(torch.device("cpu")) > ABSURD_BYTES, reason="this machine has memory for it")
@pytest.mark.skipif(torch.cuda.is_available(), reason="for the memory of a CPU")
def test_a_job_that_does_not_fit_is_refused_with_numbers(service: Service) -> None:
    worker = service.process("worker 0").pid
    for model in (ABSURD, ABSURD_MLP):
        spec = job_spec(model=model, optimizer={"type": "Adam"}, ema_decay=0.9, max_attempts=3)
        job = service.train(spec)

        assert (job.state, job.attempt, job.losses) == ("failed", 1, 0)
        assert job.error is not None
        assert job.error.type == "out_of_memory"
        for part in ("the job needs at least", "GiB free", "parameters", "gradients", "optimizer state", "activations"):
            assert part in job.error.message
    assert service.process("worker 0").pid == worker
    assert service.train(job_spec()).state == "succeeded"
