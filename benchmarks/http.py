"""The curve route under load against a bare FastAPI route that returns the same bytes prebuilt.

Claims, each printed with its target: 1,000 steps as JSON, wrk -t1 -c16, one uvicorn process a side: requests that all
differ reach 0.6 of the bare route's requests a second, a repeated one 0.9; 10**6 steps as npy reach 0.5; 10**7 steps as
CSV stream, in memory far below their size; `import lrserve.api.app` takes less than a second.

    python -m benchmarks.http        needs wrk (apt-get install wrk)

Both servers run side by side all along and are measured in turns, ROUNDS times; the medians are compared.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial

import httpx

from benchmarks.measure import in_turns, verdict
from benchmarks.service import resident, served

ROUNDS = 5
SECONDS = 3

BODY = '{"schedule": {"type": "CosineAnnealingLR", "T_max": %s, "eta_min": 0.0001}, "base_lr": 0.1, "steps": %s}'
DIFFERENT = """
local n = 0
request = function()
  n = n + 1
  local body = string.format('{"schedule": {"type": "CosineAnnealingLR", "T_max": 1000, "eta_min": 0.0001}, ' ..
    '"base_lr": %.9f, "steps": 1000}', 0.1 + n * 1e-7)
  return wrk.format("POST", nil, {["Content-Type"] = "application/json"}, body)
end
"""
SAME = f"""
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{BODY % (1000, 1000)}'
"""
NPY = f"""
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Accept"] = "application/x-npy"
wrk.body = '{BODY % (10**6, 10**6)}'
"""


def main() -> None:
    if shutil.which("wrk") is None:
        sys.exit("wrk is not on PATH: apt-get install wrk")
    with (
        served("lrserve.api") as (ours, pid),
        served("uvicorn", "benchmarks.bare_app:app", "--no-access-log") as (bare, _),
    ):
        compare("requests that all differ", DIFFERENT, f"{bare}/small", f"{ours}/v1/curves", 0.6)
        compare("a repeated request", SAME, f"{bare}/small", f"{ours}/v1/curves", 0.9)
        compare("10**6 steps as npy", NPY, f"{bare}/large", f"{ours}/v1/curves", 0.5)
        streamed(ours, pid)
    imported()


def compare(name: str, script: str, floor: str, route: str, target: float) -> None:
    pairs = [(requests(script, floor), requests(script, route)) for _ in range(ROUNDS)]
    theirs, mine = (statistics.median(side) for side in zip(*pairs, strict=True))
    print(
        f"{name:28} bare {theirs:8.0f}/s  lrserve {mine:8.0f}/s  ratio {mine / theirs:5.2f}  target {target}  "
        f"{verdict(mine / theirs >= target)}",
        flush=True,
    )


def requests(script: str, address: str) -> float:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        command = ["wrk", "-t1", "-c16", f"-d{SECONDS}s", "-s", file.name, f"http://127.0.0.1:{address}"]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in text:
        sys.exit(f"{address}: {text}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", text)
    assert found
    return float(found[1])


def streamed(port: int, pid: int) -> None:
    before, received, start = resident(pid), 0, time.perf_counter()
    body = BODY % (10**7, 10**7)
    headers = {"Content-Type": "application/json", "Accept": "text/csv"}
    peak = first = 0.0
    with httpx.stream(
        "POST", f"http://127.0.0.1:{port}/v1/curves", content=body, headers=headers, timeout=600
    ) as answer:
        for chunk in answer.iter_bytes():
            first = first or time.perf_counter() - start
            received += len(chunk)
            peak = max(peak, resident(pid))
    took = time.perf_counter() - start
    print(
        f"10**7 steps as CSV: {received / 1e6:.0f} MB in {took:.1f} s, the first byte after {first:.2f} s, "
        f"{peak - before:.0f} MB of memory"
    )


def imported() -> None:
    block = "import sys; sys.modules['torch'] = None; import lrserve.api.app"
    as_installed = os.environ | {"PYTHONDONTWRITEBYTECODE": ""}  # compiled once, not at every start
    start = partial(subprocess.run, [sys.executable, "-c", block], check=True, env=as_installed)
    median = in_turns({"import": start}, ROUNDS)["import"]
    print(f"import lrserve.api.app without torch: {median:.2f} s, target 1  {verdict(median < 1)}")


if __name__ == "__main__":
    main()
