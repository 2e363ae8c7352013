"""Start the API that is installed, ask it for one of everything that needs no Redis, and end it."""

from __future__ import annotations

import importlib
import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from importlib.util import find_spec

PORT = sys.argv[1] if len(sys.argv) > 1 else "8000"
URL = f"http://127.0.0.1:{PORT}"
CURVE = {"schedule": {"type": "StepLR", "step_size": 5, "gamma": 0.5}, "base_lr": 0.1, "steps": 20}
TRANSLATION = {"schedule": CURVE["schedule"], "base_lr": 0.1, "to": "optax"}
PATHS = ("/", "/healthz", "/metrics", "/docs", "/openapi.json", "/v1/schedules", "/v1/models", "/v1/datasets")
FORMS = ("json", "csv", "npy", "arrow", "png", "svg")
LATER = ("kombu.transport.redis", "limits.aio.storage.redis", "lrserve.main")  # imported once there is something to do


def ask(path: str, body: object = None) -> bytes:
    """The body of an answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(URL + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return bytes(answer.read())


def main() -> None:
    """Fail unless everything is answered."""
    started = time.perf_counter()
    api = subprocess.Popen([sys.executable, "-m", "lrserve.api", "--port", PORT])
    try:
        first = None
        while first is None:
            try:
                first = ask("/v1/curves", CURVE)
            except OSError:
                if api.poll() is not None or time.perf_counter() > started + 60:
                    raise
                time.sleep(0.01)
        print(f"first curve after {time.perf_counter() - started:.2f} s", flush=True)
        for form in FORMS:
            assert ask(f"/v1/curves/StepLR?step_size=5&base_lr=0.1&steps=20&format={form}"), form
        for path in PATHS:
            assert ask(path), path
        ask("/v1/schedules/translate", TRANSLATION)
        with suppress(urllib.error.HTTPError):  # 503, unless there is a Redis
            ask("/readyz")
    finally:
        api.terminate()
        assert api.wait(30) in (0, -signal.SIGTERM)
    for module in LATER:
        importlib.import_module(module)
    assert find_spec("torch") is None


if __name__ == "__main__":
    main()
