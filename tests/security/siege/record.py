"""What the attacker writes down: a line of JSON for each request, and the requests that broke something."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

from tests.security.siege.wire import Answer

MOST_KEPT = 40  # requests that broke something
KEY = re.compile(rb"Bearer [^\r]*")


class Recorder:
    """Writes into a folder: `outcomes.jsonl`, `faults.jsonl`, and a file for each request that broke something."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._kept = folder, 0
        for name in ("outcomes", "faults"):
            (folder / f"{name}.jsonl").touch()

    def add(self, attack: str, begun: float, status: int | str, received: int = 0) -> None:
        """Record an outcome. Times are those of time.monotonic, which all processes of a machine share."""
        line = {"attack": attack, "begun": begun, "ended": time.monotonic(), "status": status, "received": received}
        self._write("outcomes", line)

    def answered(self, attack: str, begun: float, answer: Answer, raw: bytes, may_reset: bool) -> None:
        """Record an answer, and the request if the answer is a fault."""
        self.add(attack, begun, answer.status, answer.received)
        refused = answer.status == 503 and answer.retry_after
        excused = may_reset and answer.status in ("reset", "cut")
        if (isinstance(answer.status, str) or answer.status >= 500) and not refused and not excused:
            what = "503 without Retry-After" if answer.status == 503 else answer.status
            took = f"after {time.monotonic() - begun:.1f} s, {answer.received} bytes: "
            self._fault(attack, what, took + self._keep(attack, answer, raw))

    def mistake(self, attack: str, text: str) -> None:
        """Record an error in the attack itself."""
        self._fault(attack, "mistake", text)

    def _fault(self, attack: str, what: Any, detail: str) -> None:
        self._write("faults", {"attack": attack, "fault": what, "detail": detail})

    def _write(self, name: str, line: dict[str, Any]) -> None:
        with (self._folder / f"{name}.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")

    def _keep(self, attack: str, answer: Answer, raw: bytes) -> str:
        """Write the request into a file, without its key. Returns where it is and how it begins."""
        raw = KEY.sub(b"Bearer KEY", raw)
        self._kept += 1
        if self._kept > MOST_KEPT:
            return repr(raw[:500])
        name = re.sub(r"[^a-z0-9]+", "-", attack.lower()).strip("-")
        file = self._folder / f"{self._kept:02}-{name}-{answer.status}.http"
        file.write_bytes(raw)
        return f"{file}: {raw[:500]!r}"
