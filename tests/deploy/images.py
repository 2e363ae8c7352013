"""Build the images and run them: python3 -m tests.deploy.images [--worker]. By `make test-image`.

It needs root on Debian 12, docker-compose, a Python 3.12, and what apt and pip download from: no registry of images, no
Docker engine, none of this project's packages. The containers run in a network that reaches nothing outside.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.deploy.engine import (
    DOCKER,
    UNCONNECTED,
    Engine,
    container,
    docker,
    enter_empty_network,
    install_packages,
    python_prefix,
    run,
)
from tests.deploy.service import CURVE, Service, until

ROOT = Path(__file__).parents[2]
API, WORKER, WHOLE = "lrserve-api", "lrserve-worker:cpu", "lrserve"
MOST_BYTES_OF_API = 175_000_000  # of its own layers, over those of python:3.12-slim
CONFINED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges:true")
PORT = 8000
PUBLISHED = ("--publish", f"127.0.0.1:{PORT}:8000")
SECRETS = {f"{user}_PASSWORD": f"{user.lower()}4f2" for user in ("OPERATOR", "API", "WORKER")}
COMPOSE = ("docker-compose", "--progress", "quiet", "--file", str(ROOT / "docker-compose.yml"))
ENDED = (0, 128 + signal.SIGTERM)  # in order: uvicorn passes the signal on to itself in the end
EPOCHS = 60
LEASE_SECONDS = 45
TOKEN = r"lrs_[0-9a-z]{12}_[\w-]{43}"


def step(text: str) -> None:
    """Print what comes next, with the time."""
    print(f"== {time.strftime('%T')} {text}", flush=True)


def compose(*arguments: str) -> str:
    """What docker-compose prints."""
    return run(*COMPOSE, *arguments).strip()


def size(image: str) -> int:
    """Bytes of an image."""
    return int(docker("image", "inspect", image, "--format", "{{.Size}}"))


def build(target: str, image: str, folder: Path) -> None:
    """Build a target of the Dockerfile. Exits with the end of its output if it fails."""
    arguments = ["--build-arg", f"PIP_TORCH={os.environ.get('PIP_TORCH', '')}"] if target != "api" else []
    command = [DOCKER, "build", "--progress", "plain", "--network", "host", "--target", target, "--tag", image]
    log = folder / f"{target}.log"
    with log.open("wb") as file:
        done = subprocess.run([*command, *arguments, str(ROOT)], stdout=file, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{log.read_text()[-4000:]}\nthe target {target} does not build: {log}")


def build_all(folder: Path, targets: dict[str, str]) -> None:
    """Build the base images where they are missing, and the targets."""
    bases = docker("images", "--format", "{{.Repository}}:{{.Tag}}")
    if "redis:7-alpine" not in bases:
        step("base images: Debian, a CPython 3.12, Debian's Redis")
        environment = os.environ | {"PATH": f"{Path(DOCKER).parent}:{os.environ['PATH']}"}
        run("bash", Path(__file__).with_name("base-images.sh"), python_prefix(), folder, env=environment)
    for target, image in targets.items():
        step(f"the target {target}")
        build(target, image, folder)


def check_api_image() -> None:
    """The API's image is small, has no torch, starts fast and ends at SIGTERM."""
    step("the API's image")
    own = size(API) - size("python:3.12-slim")
    print(f"{size(API) / 1e6:.0f} MB, of which {own / 1e6:.1f} MB over its base image")
    assert own < MOST_BYTES_OF_API
    assert docker("run", "--rm", API, "id", "-u") == "10001"
    find_torch = "import importlib.util; print(importlib.util.find_spec('torch'))"
    assert docker("run", "--rm", API, "python", "-c", find_torch) == "None"
    open_to_all = (*CONFINED, *PUBLISHED, "--env", "LRSERVE_AUTH=false", API)
    service, starts = Service(PORT), []
    for _ in range(5):
        started = time.perf_counter()
        with container(*open_to_all, name="api") as name:
            until(lambda: service.status(CURVE) == 200, "a curve")
            starts.append(time.perf_counter() - started)
            assert service.status("/readyz") == 503, "there is no Redis"
            docker("stop", name)
            assert exit_code(name) in ENDED
    print(f"from `docker run` to the first curve: {statistics.median(starts):.2f} s, median of {len(starts)}")


def exit_code(name: str) -> int:
    """The status that a container ended with."""
    return int(docker("inspect", name, "--format", "{{.State.ExitCode}}"))


@contextmanager
def composed(*services: str) -> Iterator[Service]:
    """The compose file's services, healthy, and its API with a key. They are removed with their data."""
    os.environ |= SECRETS | {"COMPOSE_PROFILES": "cpu"}
    try:
        started = time.perf_counter()
        compose("up", "--detach", "--no-build", "--pull", "never", "--wait", "--wait-timeout", "180", *services)
        print(f"all are healthy after {time.perf_counter() - started:.1f} s")
        yield Service(PORT, compose("exec", "-T", "api", "lrserve", "keys", "create", "me"))
    except BaseException:
        subprocess.run([*COMPOSE, "logs", "--tail", "40"], check=False)
        raise
    finally:
        compose("down", "--volumes")


def check_service(service: Service) -> None:
    """Keys are asked for, the first one was printed, and curves are drawn."""
    assert Service(PORT).status(CURVE) == 401
    assert service.get(f"{CURVE}&format=png").startswith(b"\x89PNG")
    [first] = re.findall(TOKEN, compose("logs", "api"))
    assert Service(PORT, first).status("/v1/keys") == 200


def check_disturbed_jobs(service: Service) -> None:
    """A worker is stopped, killed and frozen in mid-job: the job ends all the same, as if nothing had been."""
    step("a job, undisturbed")
    expected = service.result(service.submit(EPOCHS))
    assert len(expected) == EPOCHS

    step("a worker is stopped in mid-job")
    job = service.submit(EPOCHS)
    service.reaches(job, 2)
    compose("stop", "worker-cpu")
    found = service.job(job)
    assert (found["state"], found["losses"]) == ("queued", 0), found
    assert worker_exit_codes() == [0]
    compose("start", "worker-cpu")
    assert service.result(job) == expected

    step("a worker is killed in mid-job")
    job = service.submit(EPOCHS)
    service.reaches(job, 2)
    compose("kill", "worker-cpu")
    assert worker_exit_codes() == [137]
    compose("start", "worker-cpu")
    assert service.result(job) == expected
    assert service.job(job)["losses"] == 1

    step("a worker is frozen in mid-job for longer than its lease, and another one takes the job")
    job = service.submit(EPOCHS)
    service.reaches(job, 2)
    compose("pause", "worker-cpu")
    other = compose("run", "--detach", "--no-deps", "worker-cpu")
    assert service.result(job, LEASE_SECONDS + 120) == expected
    record = service.job(job)
    assert record["losses"] == 1
    compose("unpause", "worker-cpu")
    service.ready(workers=2)
    docker("rm", "--force", other)
    assert service.result(service.submit(EPOCHS)) == expected
    assert service.job(job) == record, "the frozen worker wrote to a job that it had lost"


def worker_exit_codes() -> list[int]:
    """The statuses of the workers' containers that have ended."""
    return [exit_code(each) for each in compose("ps", "--all", "--quiet", "worker-cpu").split()]


def check_restart_of_redis(service: Service) -> None:
    """Keys and jobs are still there after it."""
    step("Redis restarts")
    before = service.get("/v1/jobs")
    compose("restart", "redis")
    service.ready()
    # by a process of its own, too: the API remembers a key for a while
    assert re.search(r"\bme\b", compose("exec", "-T", "api", "lrserve", "keys", "list"))
    assert service.get("/v1/jobs") == before


def check_whole() -> None:
    """One container has all of it: it prints a key, trains, keeps its data in a volume and ends in order."""
    step("everything in one container")
    options = (*CONFINED, *PUBLISHED, "--volume", "all:/var/lib/lrserve", WHOLE)
    with container(*options, name="whole") as name:
        started = time.perf_counter()
        key = until(lambda: re.findall(TOKEN, logs(name)), "its key")[0]
        service = Service(PORT, key)
        service.ready(workers=1)
        print(f"ready after {time.perf_counter() - started:.1f} s, {size(WHOLE) / 1e9:.1f} GB")
        until(lambda: docker("inspect", name, "--format", "{{.State.Health.Status}}") == "healthy", "healthy")
        assert docker("exec", name, "id", "-u") == "10001"
        job = service.submit(2)
        service.result(job)
        step("it is stopped in mid-job, and another container goes on with its volume")
        other = service.submit(EPOCHS)
        service.reaches(other, 2)
        docker("stop", "--time", "60", name)
        assert exit_code(name) == 0
    with container(*options, name="whole-again") as name:
        service.ready(workers=1)
        assert len(service.result(other)) == EPOCHS
        assert (service.job(other)["losses"], service.job(job)["state"]) == (0, "succeeded")
        assert "lrs_" not in logs(name), "a second first key"


def logs(name: str) -> str:
    """All that a container has printed."""
    return run(DOCKER, "logs", name, stderr=subprocess.STDOUT)


def main() -> None:
    """Build, run, and print what was measured. Raises AssertionError where something does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / "build/images", help="keeps layers between two tests")
    parser.add_argument("--worker", action="store_true", help="the worker and everything in one, too: 13 GB of disk")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # the engine and the containers end, too
    install_packages()
    targets = {"api": API} | ({"worker": WORKER, "lrserve": WHOLE} if options.worker else {})
    with Engine(options.folder, UNCONNECTED):
        build_all(options.folder, targets)
    enter_empty_network()
    with Engine(options.folder):
        check_api_image()
        step("the compose file")
        with composed("redis", "api", *(["worker-cpu"] if options.worker else [])) as service:
            check_service(service)
            if options.worker:
                check_disturbed_jobs(service)
            check_restart_of_redis(service)
            step("all are stopped")
            compose("stop")
            assert {exit_code(each) for each in compose("ps", "--all", "--quiet").split()} <= set(ENDED)
        if options.worker:
            check_whole()
    step("all of it holds")


if __name__ == "__main__":
    main()
