"""A siege: a service with keys, an attacker of one tenant, honest work of another, and what is measured meanwhile."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lrcore.access.keys import KeyStore, Role
from lrcore.access.limits import LimitStore
from lrcore.store.connection import connect
from lrserve.supervisor import SupervisorError
from tests.conftest import Service, running_service
from tests.security.siege.honest import HonestTenant
from tests.security.siege.jobs import image_folder
from tests.security.siege.report import Verdict
from tests.security.siege.watch import usage

QUEUED = 150  # jobs that the attacker may have waiting, some with megabytes of spec: Redis shares the test's memory
ABORT_BYTES = 4 * 2**30  # of the API: the siege has failed, and ends before the machine's memory does
NICE = 10  # of the attacker, whose processors are elsewhere outside of a test: it takes none before the API
PACKAGE = "tests.security.siege"


@dataclass(frozen=True)
class Plan:
    """How a service is besieged.

    Attributes:
        attackers: how many requests or crowds of connections are under way at once.
        long: whether attacks that need much memory or time of the worker are among them.
    """

    seconds: float
    seed: int
    attackers: int
    long: bool = False


def besieged(home: Path, plan: Plan, folder: Path) -> Verdict:
    """Besiege a service of its own.

    Args:
        home: the service's folder.
        folder: takes measurements and the requests that broke something; emptied before.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    image_folder(home / "datasets")
    with running_service(home, auth="true") as service:
        with connect((home / "redis.url").read_text()) as redis:
            LimitStore(redis).change("attacker", {"queued": QUEUED})
            tokens = {name: KeyStore(redis).create(name, Role.SUBMIT)[1] for name in ("attacker", "honest")}
        honest = HonestTenant(service.url, tokens["honest"])
        honest.prepare()
        ended: list[str] = []
        with _measured(service, folder):
            honest.start()
            with _attack(service, tokens["attacker"], plan, folder) as attacker:
                ended += _watched(service, attacker)
            honest.stop()
        for name in ("api", "redis"):
            if (status := service.process(name).poll()) is not None:
                ended.append(f"{name} ended with {status}")
        log = service.log.read_text(errors="replace")
    verdict = Verdict.of(folder, honest.seconds)
    verdict.faults += [*honest.faults, *ended, *_tracebacks(log)]
    (folder / "service.log").write_text(log)
    (folder / "report.md").write_text(verdict.text())
    return verdict


@contextmanager
def _process(*arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-m", *map(str, arguments)])
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def _measured(service: Service, folder: Path) -> Iterator[None]:
    watch, file = f"{PACKAGE}.watch", folder / "watch.jsonl"
    probing = _process(watch, "probe", service.stack.port, file)
    with probing, _process(watch, "sample", service.process("api").pid, file):
        yield


@contextmanager
def _attack(service: Service, token: str, plan: Plan, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    arguments: list[object] = [f"{PACKAGE}.attacker", service.stack.port, "--token", token, "--folder", folder]
    arguments += ["--seconds", plan.seconds, "--seed", plan.seed, "--attackers", plan.attackers]
    with _process(*arguments, *(["--long"] if plan.long else [])) as process:
        os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
        yield process


def _watched(service: Service, attacker: subprocess.Popen[bytes]) -> list[str]:
    """Wait for the attacker's end. Workers that end are started again; the API and Redis must not end.

    Returns:
        What went wrong with the processes.
    """
    pids = {name: service.process(name).pid for name in ("api", "redis")}
    found = []
    while attacker.poll() is None:
        time.sleep(0.5)
        for name in pids:
            if (status := service.process(name).poll()) is not None:
                return [*found, f"{name} ended with {status}"]
        worker = service.process("worker 0")
        if worker.poll() is not None:
            found.append(f"the worker ended with {worker.returncode}")
            try:
                service.revive("worker 0")
            except SupervisorError as error:
                return [*found, str(error)]
        if (memory := usage(pids["api"])["together"]) > ABORT_BYTES:
            return [*found, f"the API has {memory / 2**30:.1f} GiB: the siege is broken off"]
    if attacker.returncode:
        found.append(f"the attacker ended with {attacker.returncode}")
    return found


def _tracebacks(log: str) -> list[str]:
    """Return the first few tracebacks of the service's log."""
    parts = log.split("Traceback (most recent call last):")
    return [f"Traceback in the service's log:{part[-4000:]}" for part in parts[1:4]]
