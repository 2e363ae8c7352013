"""Record what a version leaves behind: a store as JSON, the files of its jobs, and what its API said of them.

    git worktree add ../before COMMIT
    cd ../before && PYTHONPATH=. python ../lrserve/tests/upgrade/record.py

Everything is made by the code of that version, run as processes: the jobs are submitted, trained, paused and killed.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from redis import Redis

from tests.conftest import Service, redis_process, running_service, until
from tests.stores import JobStore

RECORDED = Path(__file__).parent.resolve() / "recorded"
DATASET = {"type": "fake", "samples": 400, "test_samples": 40, "image_size": 8}
SHORT: dict[str, Any] = {
    "model": {"type": "mlp", "hidden": [4]},
    "dataset": DATASET,
    "optimizer": {"type": "SGD", "lr": 0.1, "momentum": 0.9},
    "schedule": {"type": "StepLR", "step_size": 1, "gamma": 0.5},
    "epochs": 3,
    "batch_size": 40,
}
LONG = SHORT | {"epochs": 40, "batch_size": 2, "schedule": {"type": "CosineAnnealingLR", "T_max": 40}}
RANGE = {"model": SHORT["model"], "dataset": DATASET, "optimizer": {"type": "SGD"}, "batch_size": 40, "num_iter": 40}
LONG_RANGE = RANGE | {"num_iter": 3000, "batch_size": 4}
ELSEWHERE = {"hardware": "nowhere"}  # no worker has this label
EXPERIMENT = {"base": {k: v for k, v in SHORT.items() if k != "schedule"}, "grid": {"lr": [0.1, 0.01], "seed": [0, 1]}}

LEFT_OUT = ("*.png", "*.svg", "*.csv", "*.safetensors", "*tfevents*")  # of artifacts, which are files as any


def post(service: Service, path: str, body: Any = None, **headers: str) -> dict[str, Any]:
    answer = service.http.post(path, json=body, headers=headers)
    assert answer.is_success, answer.text
    return dict(answer.json())


def under_way(service: Service, path: str, body: dict[str, Any], share: float) -> str:
    job_id = str(post(service, path, body)["id"])
    until(lambda: service.http.get(f"/v1/jobs/{job_id}").json()["progress"]["fraction"] > share)
    return job_id


def paused(service: Service, path: str, body: dict[str, Any], share: float = 0.1) -> str:
    job_id = under_way(service, path, body, share)
    post(service, f"/v1/jobs/{job_id}/pause")
    until(lambda: service.http.get(f"/v1/jobs/{job_id}").json()["state"] == "paused")
    return job_id


def submitted(service: Service, store: JobStore) -> dict[str, str]:
    """Jobs in every state, by what they are. The last one is left without its worker."""
    jobs = {"succeeded": post(service, "/v1/jobs", SHORT | {"labels": ["team=a"]}, **{"Idempotency-Key": "once"})["id"]}
    jobs["failed"] = post(service, "/v1/jobs", SHORT | {"optimizer": {"type": "SGD", "lr": 1e20}})["id"]
    jobs["range test"] = post(service, "/v1/lr-range-tests", RANGE)["id"]
    jobs["experiment"] = post(service, "/v1/experiments", EXPERIMENT)["id"]
    for job_id in jobs.values():
        until(lambda job_id=job_id: service.client.job(job_id).state.ended)  # type: ignore[misc]
    cancelled = post(service, "/v1/jobs", SHORT | ELSEWHERE)["id"]
    jobs["cancelled"] = post(service, f"/v1/jobs/{cancelled}/cancel")["id"]
    jobs["waiting"] = post(service, "/v1/jobs", SHORT | ELSEWHERE | {"priority": 7, "labels": ["team=a"]})["id"]
    service.http.put("/v1/jobs/chosen", json=SHORT | ELSEWHERE | {"max_seconds": 600}).raise_for_status()
    jobs["chosen"] = "chosen"
    jobs["paused"] = paused(service, "/v1/jobs", LONG)
    jobs["paused range test"] = paused(service, "/v1/lr-range-tests", LONG_RANGE)
    jobs["paused experiment"] = paused(service, "/v1/experiments", _long_experiment(), 0.2)
    store.of("vision").put("theirs", _spec(SHORT))
    jobs["running"] = under_way(service, "/v1/jobs", LONG | {"seed": 1}, 0.1)
    return jobs


def _long_experiment() -> dict[str, Any]:
    base = {k: v for k, v in LONG.items() if k != "schedule"} | {"batch_size": 8}
    return {"base": base, "grid": {"lr": [0.1, 0.01], "seed": [0, 1]}}


def _spec(body: dict[str, Any]) -> Any:
    from lrcore.jobs.training_spec import TrainingSpec

    return TrainingSpec.model_validate(body)


def said(service: Service, job_id: str) -> dict[str, Any]:
    """What the API answers about a job."""
    job = service.http.get(f"/v1/jobs/{job_id}").json()
    path = f"/v1/experiments/{job_id}" if job["kind"] == "experiment" else f"/v1/jobs/{job_id}/metrics"
    return {"job": job, path: service.http.get(path).json()}


def dumped(redis: Redis) -> dict[str, Any]:
    """Every key with its type and its value; the time until it expires is left out."""
    found: dict[str, Any] = {}
    for key in sorted(redis.scan_iter(count=1000)):
        kind = redis.type(key)
        found[key] = [kind, _value(redis, key, str(kind))]
    return found


def _value(redis: Redis, key: str, kind: str) -> Any:
    match kind:
        case "string":
            return redis.get(key)
        case "hash":
            return redis.hgetall(key)
        case "list":
            return redis.lrange(key, 0, -1)
        case "set":
            return sorted(redis.smembers(key))
        case "zset":
            return redis.zrange(key, 0, -1, withscores=True)
        case "stream":
            return redis.xrange(key)
    raise AssertionError(f"{key} is a {kind}")


def main(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as temporary, redis_process(Path(temporary) / "redis") as url:
        redis = Redis.from_url(url, decode_responses=True)
        home = Path(temporary) / "home"
        with running_service(home, redis_url=url) as service:
            jobs = submitted(service, JobStore(redis))
            service.kill("worker 0")
            answers = {name: said(service, job_id) for name, job_id in jobs.items()}
            answers["list"] = service.http.get("/v1/jobs?limit=100").json()
            service.kill("api")  # so that it does not take the lease away
            store = dumped(redis)
        shutil.copytree(home / "jobs", folder / "home" / "jobs")
        shutil.copytree(home / "artifacts", folder / "home" / "artifacts", ignore=shutil.ignore_patterns(*LEFT_OUT))
    (folder / "jobs.json").write_text(json.dumps(jobs, indent=1) + "\n")
    (folder / "answers.json").write_text(json.dumps(answers, indent=1) + "\n")
    (folder / "store.json").write_text(json.dumps(store, indent=1) + "\n")


if __name__ == "__main__":
    main(RECORDED)
