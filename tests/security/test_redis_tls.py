"""Redis over TLS: whatever talks to it does so encrypted, and with nobody whose certificate is not good."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from lrcore.access.keys import KeyStore, Role
from lrcore.access.limits import LimitStore
from lrcore.service.settings import Settings
from lrcore.store.connection import connect, connect_async
from lrcore.store.queue import QUEUE, broker_list
from lrserve.api.middleware.rates import Rates
from lrserve.api.notifier import Notifier
from lrserve.api.webhooks.dispatcher import POLL_SECONDS
from lrserve.embedded import installed_server
from lrserve.supervisor import free_port
from tests.conftest import until
from tests.factories import job_spec
from tests.failover import failover_redis
from tests.security.test_redis_acl import caller, ended, served, submitted

pytestmark = pytest.mark.slow


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def certificates(folder: Path, names: str) -> Path:
    """A certificate authority (ca.pem) and a server (server.pem, server.key) that it vouches for by these names."""
    folder.mkdir()
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    authority = ("-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=an authority of a test")
    extensions = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
    openssl(folder, "req", *curve, *authority, *extensions)
    openssl(folder, "req", *curve, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=a server of a test")
    (folder / "names").write_text(f"subjectAltName={names}\n")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names", "-days", "2")
    openssl(folder, "x509", "-req", "-in", "server.csr", "-out", "server.pem", *signed)
    return folder


@contextmanager
def redis_over_tls(folder: Path) -> Iterator[int]:
    """The port of a Redis server with the certificate in the folder."""
    server = installed_server()
    if server is None:
        pytest.skip("no installed Redis server: see the Makefile's target redis-server")
    port = free_port()
    options = {
        "port": "0",
        "tls-port": str(port),
        "tls-cert-file": str(folder / "server.pem"),
        "tls-key-file": str(folder / "server.key"),
        "tls-ca-cert-file": str(folder / "ca.pem"),
        "tls-auth-clients": "no",
        "bind": "127.0.0.1",
        "dir": str(folder),
        "save": "",
    }
    command = [str(server), *(part for name, value in options.items() for part in (f"--{name}", value))]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        until(lambda: answers(f"rediss://127.0.0.1:{port}/0?ssl_cert_reqs=none") or process.poll() is not None)
        if process.poll() is not None:
            pytest.skip("this Redis server was built without TLS")
        yield port
    finally:
        process.terminate()
        process.wait(60)


def answers(url: str) -> bool:
    try:
        return bool(connect(url).ping())
    except RedisError:
        return False


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("tls") / "ours", "IP:127.0.0.1")


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[int]:
    with redis_over_tls(folder) as port:
        yield port


@pytest.mark.slowest
def test_api_and_worker_run_a_job_over_tls(folder: Path, port: int, tmp_path: Path) -> None:
    url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={folder / 'ca.pem'}"
    with connect(url) as redis:
        _, token = KeyStore(redis).create("ours", Role.SUBMIT)
        LimitStore(redis).change("ours", {"requests_per_minute": 1000})
    http_port = free_port()
    environment = dict(os.environ, LRSERVE_HOME=str(tmp_path), LRSERVE_AUTH="true", LRSERVE_REDIS_URL=url)
    with ExitStack() as ending:
        for command in (["lrserve.api", "--port", str(http_port)], ["lrserve.worker", "--name", "encrypted"]):
            process = subprocess.Popen(
                [sys.executable, "-m", *command], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            ending.callback(process.wait, 60)
            ending.callback(process.terminate)
        http = ending.enter_context(caller(f"http://127.0.0.1:{http_port}", token))
        until(lambda: served(http), 150)
        job_id = submitted(http, "jobs", job_spec(epochs=1))
        with http.stream("GET", f"/v1/jobs/{job_id}/events", timeout=60) as events:
            assert b"event: end" in b"".join(events.iter_bytes())
        assert ended(http, job_id) == "succeeded"
        until(lambda: "ratelimit" in http.get("/v1/jobs").headers)  # it waits for Redis but for a moment


def refused(url: str, home: Path) -> None:
    """Nothing that the service has comes through: the store, the broker, what is asynchronous, the counting."""
    with pytest.raises(RedisConnectionError, match=r"(?i)certificate verify failed"):
        connect(url).ping()
    with pytest.raises(Exception, match=r"(?i)certificate verify failed"):
        Notifier(Settings(redis_url=url, home=home)).notify(QUEUE)

    async def asynchronous() -> None:
        redis = connect_async(url, POLL_SECONDS)
        with pytest.raises(RedisConnectionError, match=r"(?i)certificate verify failed"):
            await redis.ping()
        await redis.aclose()
        assert await Rates(url).hit("ours", 10) is None

    asyncio.run(asynchronous())


def test_an_authority_that_is_not_known_is_refused(folder: Path, port: int, tmp_path: Path) -> None:
    other = certificates(tmp_path / "other", "IP:127.0.0.1")
    refused(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={other / 'ca.pem'}", tmp_path)
    refused(f"rediss://127.0.0.1:{port}/0", tmp_path)  # the system's authorities

    with connect(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={folder / 'ca.pem'}") as redis:
        assert redis.llen(broker_list(QUEUE)) == 0


def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    folder = certificates(tmp_path / "elsewhere", "DNS:redis.example.org")
    with redis_over_tls(folder) as port:
        refused(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={folder / 'ca.pem'}", tmp_path)


def test_sentinels_and_the_primary_that_they_name_are_reached_over_tls(folder: Path, port: int, tmp_path: Path) -> None:
    """`port`: of a server whose fixture has found out whether there is TLS."""
    other = certificates(tmp_path / "other", "IP:127.0.0.1")
    with failover_redis(tmp_path / "redis", installed_server(), password="secret", tls=folder) as redis:
        with connect(redis.url) as client:
            Notifier(Settings(redis_url=redis.url, home=tmp_path)).notify(QUEUE)
            assert client.llen(broker_list(QUEUE)) == 1

        async def asynchronous() -> None:
            async with connect_async(redis.url, POLL_SECONDS) as client:
                assert await client.llen(broker_list(QUEUE)) == 1

        asyncio.run(asynchronous())
        wrong = redis.url.replace(str(folder), str(other))
        with pytest.raises(RedisConnectionError, match=r"(?i)certificate verify failed"):
            connect(wrong).ping()
        with pytest.raises(Exception, match="No master found"):  # kombu does not say why
            Notifier(Settings(redis_url=wrong, home=tmp_path)).notify(QUEUE)
