"""A Redis that fails over: a primary, a replica, and three Sentinels, all processes of their own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from lrserve.embedded import find_server
from lrserve.supervisor import free_port
from tests.conftest import until

SERVICE = "jobs"
QUORUM = 2
DOWN_MS = 1000  # without an answer, after which a Sentinel takes the primary for dead; a busy machine needs more
SERVER = {
    "bind": "127.0.0.1",
    "appendonly": "yes",
    "save": "",
    "maxmemory-policy": "noeviction",
    "repl-diskless-sync": "yes",
    "repl-diskless-sync-delay": "0",
}


class FailoverRedis:
    """Two servers and three Sentinels.

    Attributes:
        url: that of the Sentinels, for LRSERVE_REDIS_URL.
        servers: ports of the two servers.
    """

    def __init__(
        self,
        folder: Path,
        program: Path,
        password: str = "",
        sentinel_password: str = "",
        tls: Path | None = None,
        down_ms: int = DOWN_MS,
    ) -> None:
        self._folder, self._program, self._tls, self._down_ms = folder, program, tls, down_ms
        self._password, self._sentinel_password = password, sentinel_password
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self.servers, self.sentinels = [free_port() for _ in range(2)], [free_port() for _ in range(3)]
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.sentinels)
        login = f":{password}@" if password else ""
        options = [f"sentinel_password={sentinel_password}"] if sentinel_password else []
        options += [f"ssl_ca_certs={tls / 'ca.pem'}"] if tls else []
        scheme = "rediss+sentinel" if tls else "redis+sentinel"
        self.url = f"{scheme}://{login}{hosts}/{SERVICE}/0{'?' if options else ''}{'&'.join(options)}"

    def start(self) -> None:
        """Start all five, and wait until a failover is possible."""
        primary, replica = self.servers
        self.start_server(primary)
        self.start_server(replica, "--replicaof", "127.0.0.1", str(primary))
        self.wait_for_replica()
        for port in self.sentinels:
            self._start_sentinel(port, primary)
        for port in self.sentinels:
            until(lambda port=port: self._knows_all(port))

    def start_server(self, port: int, *options: str) -> None:
        """Start a server, or start one again that was killed, with what it had on disk."""
        folder = self._folder / f"server-{port}"
        folder.mkdir(parents=True, exist_ok=True)
        settings = SERVER | self._listening(port) | {"dir": str(folder)}
        if self._password:
            settings |= {"requirepass": self._password, "masterauth": self._password}
        self._start(port, *(part for name, value in settings.items() for part in (f"--{name}", value)), *options)
        until(lambda: self._answers(port))

    def kill(self, port: int) -> None:
        """End a process with no warning."""
        self._processes[port].kill()
        self._processes[port].wait(10)

    def signal(self, port: int, number: int) -> None:
        """Send a signal to a process."""
        self._processes[port].send_signal(number)

    def primary(self) -> int:
        """The port of the server that takes writes, by its own account; 0 if none does."""
        return next((port for port in self.servers if self._role(port) == "master"), 0)

    def wait_for_promotion(self, killed: int) -> None:
        """Return once every Sentinel names another primary than the one that was killed, and that one takes writes."""

        def agreed() -> bool:
            named = {int(self._state(port).get("port", killed)) for port in self.sentinels}
            return killed not in named and named == {self.primary()}

        until(agreed)

    def wait_for_replica(self) -> None:
        """Return once the primary has a replica that has all of its data."""

        def in_step() -> bool:
            primary = self.primary()
            state: dict[str, Any] = self.server(primary).info("replication") if primary else {}
            return any(state.get(f"slave{i}", {}).get("state") == "online" for i in range(2))

        until(in_step)

    def server(self, port: int) -> Redis:
        """A client of one process."""
        password = self._sentinel_password if port in self.sentinels else self._password
        options: dict[str, Any] = {"ssl": True, "ssl_ca_certs": str(self._tls / "ca.pem")} if self._tls else {}
        return Redis("127.0.0.1", port, password=password or None, decode_responses=True, socket_timeout=1, **options)

    def stop(self) -> None:
        """End what still runs."""
        for process in self._processes.values():
            process.kill()
            process.wait(10)

    def _listening(self, port: int) -> dict[str, str]:
        """What a server and a Sentinel have in common."""
        if self._tls is None:
            return {"port": str(port)}
        return {
            "port": "0",
            "tls-port": str(port),
            "tls-cert-file": str(self._tls / "server.pem"),
            "tls-key-file": str(self._tls / "server.key"),
            "tls-ca-cert-file": str(self._tls / "ca.pem"),
            "tls-auth-clients": "no",
            "tls-replication": "yes",
        }

    def _start_sentinel(self, port: int, primary: int) -> None:
        lines = [
            *(f"{name} {value}" for name, value in self._listening(port).items()),
            f"dir {self._folder}",
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary} {QUORUM}",
            f"sentinel down-after-milliseconds {SERVICE} {self._down_ms}",
            f"sentinel failover-timeout {SERVICE} 5000",
        ]
        if self._password:
            lines.append(f"sentinel auth-pass {SERVICE} {self._password}")
        if self._sentinel_password:
            lines.append(f"requirepass {self._sentinel_password}")
        configuration = self._folder / f"sentinel-{port}.conf"
        configuration.write_text("\n".join(lines) + "\n")
        self._start(port, str(configuration), "--sentinel")

    def _start(self, port: int, *options: str) -> None:
        with (self._folder / f"{port}.log").open("ab") as log:
            self._processes[port] = subprocess.Popen([str(self._program), *options], stdout=log, stderr=log)

    def _answers(self, port: int) -> bool:
        try:
            return bool(self.server(port).ping())
        except RedisError:
            return False

    def _role(self, port: int) -> str:
        with suppress(RedisError):
            return str(self.server(port).info("replication")["role"])
        return ""

    def _knows_all(self, port: int) -> bool:
        state = self._state(port)
        return bool(state) and (state["num-other-sentinels"], state["num-slaves"]) == (2, 1)

    def _state(self, sentinel: int) -> dict[str, Any]:
        """What a Sentinel knows of the primary; nothing if it does not answer."""
        with suppress(RedisError):
            state: Any = self.server(sentinel).sentinel_master(SERVICE)
            return dict(state)
        return {}


@contextmanager
def failover_redis(folder: Path, program: Path | None = None, **options: Any) -> Iterator[FailoverRedis]:
    """A Redis that fails over.

    Args:
        options: `password` of the servers; `sentinel_password`; `tls`, a folder with certificates; `down_ms`.
    """
    redis = FailoverRedis(folder, program or find_server(), **options)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        redis.start()
        yield redis
    finally:
        redis.stop()
