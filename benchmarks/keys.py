"""What keys and limits cost the curve route: the same service with and without them, measured in turns.

Claim, printed with its target: with a key, a request that differs from all others takes at most 1.05 of the processor
time that it takes without. With a limit of requests a minute, which Redis counts for all API processes together, the
ratio is printed without a target. Processor time of the API's process and not requests a second: it hangs less on what
else the machine does, wrk included.

    python -m benchmarks.keys        needs wrk (apt-get install wrk)

Both servers run side by side all along; the medians of ROUNDS rounds are compared.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.http import DIFFERENT, ROUNDS, SAME, SECONDS, requests
from benchmarks.measure import verdict
from benchmarks.service import cpu_seconds, served
from lrcore.access.keys import KeyStore, Role
from lrcore.access.limits import LimitStore
from lrcore.store.connection import connect
from lrserve.embedded import EmbeddedRedis

TARGET = 1.05


def main() -> None:
    if shutil.which("wrk") is None:
        sys.exit("wrk is not on PATH: apt-get install wrk")
    with ExitStack() as ending:
        home = ending.enter_context(tempfile.TemporaryDirectory())
        url = ending.enter_context(EmbeddedRedis(Path(home) / "redis").running())
        with connect(url) as redis:
            tokens = {tenant: KeyStore(redis).create(tenant, Role.READ)[1] for tenant in ("free", "limited")}
            LimitStore(redis).change("limited", {"requests_per_minute": 10**9})
        servers = {}
        for auth in ("false", "true"):
            environment = os.environ | {"LRSERVE_AUTH": auth, "LRSERVE_REDIS_URL": url, "LRSERVE_HOME": home}
            servers[auth] = ending.enter_context(served("lrserve.api", environment=environment))
        for name, script in (("requests that all differ", DIFFERENT), ("a repeated request", SAME)):
            compare(name, script, servers, tokens)


def compare(name: str, script: str, servers: dict[str, tuple[int, int]], tokens: dict[str, str]) -> None:
    with_key, with_limit = (_bearing(script, tokens[tenant]) for tenant in ("free", "limited"))
    sides = ((script, "false"), (with_key, "true"), (with_limit, "true"))
    rounds = [[microseconds(script, *servers[auth]) for script, auth in sides] for _ in range(ROUNDS)]
    free, keyed, limited = (statistics.median(side) for side in zip(*rounds, strict=True))
    print(
        f"{name:26} without {free:4.0f} us  with a key {keyed:4.0f} us  ratio {keyed / free:.2f}  target {TARGET} "
        f"{verdict(keyed / free <= TARGET)}  and a limit {limited:4.0f} us  ratio {limited / free:.2f}",
        flush=True,
    )


def microseconds(script: str, port: int, pid: int) -> float:
    """Processor time of a request."""
    before = cpu_seconds(pid)
    made = requests(script, f"{port}/v1/curves") * SECONDS
    return (cpu_seconds(pid) - before) / made * 1e6


def _bearing(script: str, token: str) -> str:
    """wrk's script with the key in each request."""
    header = f'["Authorization"] = "Bearer {token}"'
    given = 'wrk.headers["Content-Type"] = "application/json"'
    script = script.replace('{["Content-Type"]', f'{{{header}, ["Content-Type"]')
    return script.replace(given, f'{given}\nwrk.headers["Authorization"] = "Bearer {token}"')


if __name__ == "__main__":
    main()
