"""The thread beside training, when its process is frozen."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.conftest import redis_process

BEATING = """
import signal, sys, threading
from pathlib import Path
from lrcore.store.connection import connect
from lrcore.service.settings import Settings
from tests.stores import JobStore
from tests.store.test_store import running
from lrserve.worker.reporter import Reporter

signal.signal(signal.SIGTERM, lambda *_: None)
store = JobStore(connect(sys.argv[1]))
settings = Settings(home=Path(sys.argv[2]), lease_seconds=1, heartbeat_seconds=0.1)
reporters = []
for _ in range(8):
    reporters.append(Reporter(store, running(store), settings, threading.Event()))
    reporters[-1].start()
print("beating", flush=True)
for _ in sys.stdin:
    print("stopped", [reporter.must_stop() for reporter in reporters], flush=True)
"""


def test_a_worker_that_was_frozen_and_told_to_end_hears_whose_its_job_is(tmp_path: Path) -> None:
    with (
        redis_process(tmp_path) as url,
        subprocess.Popen(
            [sys.executable, "-c", BEATING, url, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        assert process.stdin
        assert process.stdout
        try:
            assert process.stdout.readline() == "beating\n"
            for _ in range(2):  # the signal comes to any of the threads
                process.send_signal(signal.SIGSTOP)
                time.sleep(1.2)
                process.terminate()
                process.send_signal(signal.SIGCONT)
                print("do they stop?", file=process.stdin, flush=True)
                assert process.stdout.readline() == f"stopped {[False] * 8}\n"
        finally:
            process.kill()
