"""An API by itself: what hostile clients do to it needs no Redis and no worker. And an lrserve that asks for keys."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from lrcore.access.keys import KeyStore
from lrcore.store.connection import connect
from lrserve.supervisor import free_port
from tests.conftest import Service, running_service, until

QUICK = {"head_seconds": 1, "body_seconds": 1}


@contextmanager
def api_process(home: Path, host: str = "127.0.0.1", files: str | None = None, **settings: Any) -> Iterator[int]:
    """An API without a Redis; the port it listens on. It logs to `home/api.log`.

    Args:
        files: soft and hard limit on its open files, such as 300:4096; those of the tests if not given.
    """
    port = free_port()
    environment = {f"LRSERVE_{name.upper()}": str(value) for name, value in settings.items()}
    redis = {"LRSERVE_AUTH": "false", "LRSERVE_REDIS_URL": f"unix://{home}/none.sock", "LRSERVE_HOME": str(home)}
    command = [sys.executable, "-m", "lrserve.api", "--host", host, "--port", str(port)]
    limited = [] if files is None else ["prlimit", f"--nofile={files}"]
    with (home / "api.log").open("ab") as log:
        process = subprocess.Popen([*limited, *command], env=dict(os.environ) | redis | environment, stderr=log)

    def answers() -> bool:
        assert process.poll() is None
        try:
            return httpx.get(f"http://127.0.0.1:{port}/healthz").is_success
        except httpx.TransportError:
            return False

    try:
        until(answers)
        yield port
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="session")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of an API that waits a second for a request's headers and a second for its body."""
    with api_process(tmp_path_factory.mktemp("api"), **QUICK) as port:
        yield port


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """An lrserve that asks for keys, for tests whose tenants are their own."""
    with running_service(tmp_path_factory.mktemp("guarded") / "home", auth="true") as running:
        yield running


@pytest.fixture(scope="session")
def keys(guarded: Service) -> KeyStore:
    """The keys of that service."""
    return KeyStore(connect((guarded.stack.settings.home_folder / "redis.url").read_text()))
