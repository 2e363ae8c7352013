"""The processes that measure: python -m tests.security.siege.watch probe PORT FILE, and … sample PID FILE.

One asks for /healthz over a bare socket every 0.15 s, and leaves out the time that it waits for a processor itself, as
a client on a machine of its own would not. The other reads memory and processor time of the process PID and
of its children, and how many threads of the machine want to run, every 0.5 s; the kernel holds up a process whose
memory is looked through. Each measurement is a line of JSON at the end of FILE. SIGTERM ends them.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

HOST = "127.0.0.1"
PROBE_SECONDS = 0.15
SAMPLE_SECONDS = 0.5
GIVE_UP = 60.0  # seconds that a probe waits
PAGE, TICK = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")
PROBE = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"


def family(pid: int) -> Iterator[int]:
    """Yield a process and its descendants."""
    yield pid
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return
    for thread in threads:
        try:
            children = (thread / "children").read_text().split()
        except OSError:
            continue
        for child in children:
            yield from family(int(child))


def usage(pid: int) -> dict[str, float]:
    """Measure resident bytes of a process, the same with its descendants, and processor seconds of them all.

    With descendants, a page that several have in common counts once: what is forked has most of its pages from its
    parent.
    """
    own, together, seconds = 0, 0, 0.0
    for each in family(pid):
        try:
            resident = int(Path(f"/proc/{each}/statm").read_text().split()[1]) * PAGE
            proportional = _proportional(each)
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        own += resident if each == pid else 0
        together += proportional
        seconds += sum(map(int, fields[11:15])) / TICK  # its own, and those of children that have ended
    return {"own": own, "together": together, "cpu": seconds}


def _proportional(pid: int) -> int:
    """Read a process' resident bytes, a page that n processes share as an n-th of it."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def runnable() -> int:
    """Count the threads of the machine that run or wait for a core now."""
    return int(Path("/proc/loadavg").read_text().split()[3].partition("/")[0])


def waited() -> float:
    """Measure for how many seconds this process was ready to run, and had no processor."""
    return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9


class Prober:
    """Asks for /healthz again and again over one connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: socket.socket | None = None

    def ask(self) -> bool:
        """Return whether the answer is 200. A connection that was idle for too long is opened again."""
        reused = self._connection is not None
        try:
            return self._asked()
        except TimeoutError:
            self._close()
            return False
        except OSError:
            self._close()
            return reused and self.ask()

    def _asked(self) -> bool:
        self._connection = self._connection or socket.create_connection((HOST, self._port), timeout=GIVE_UP)
        self._connection.sendall(PROBE)
        found = b""
        while not found.endswith(b"}"):
            part = self._connection.recv(4096)
            if not part:
                raise ConnectionResetError
            found += part
        return found.startswith(b"HTTP/1.1 200")

    def _close(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None


def _write(out: IO[str], line: dict[str, Any]) -> None:
    out.write(json.dumps(line) + "\n")


def _ended(*_: object) -> None:
    raise SystemExit


def probe(port: int, out: IO[str]) -> None:
    """Ask until SIGTERM. A probe that waits then is written down with the time that it has waited."""
    prober = Prober(port)
    while True:
        begun, before, well = time.monotonic(), waited(), False
        try:
            well = prober.ask()
        except SystemExit:
            well = True  # nothing is known against it but how long it has waited
            raise
        finally:
            seconds = time.monotonic() - begun - (waited() - before)
            _write(out, {"at": begun, "seconds": seconds, "well": well})
        time.sleep(max(0.0, begun + PROBE_SECONDS - time.monotonic()))


def sample(pid: int, out: IO[str]) -> None:
    """Measure until SIGTERM."""
    while True:
        _write(out, {"at": time.monotonic(), "runnable": runnable(), **usage(pid)})
        time.sleep(SAMPLE_SECONDS)


def main() -> None:
    """Measure what the arguments say."""
    signal.signal(signal.SIGTERM, _ended)
    what, number, file = sys.argv[1:]
    with Path(file).open("a", buffering=1) as out:
        {"probe": probe, "sample": sample}[what](int(number), out)


if __name__ == "__main__":
    main()
