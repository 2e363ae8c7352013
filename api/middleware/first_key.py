"""The first key of a new installation: without one nobody could make the others over HTTP."""

from __future__ import annotations

import json
import logging
import sys
import threading
from typing import Literal

from lrcore.access.audit import AuditLog, Entry
from lrcore.access.keys import KeyStore, Role, new_key
from lrcore.jobs.ids import NOBODY
from lrcore.jobs.job import rfc3339
from lrcore.store.connection import RedisError
from lrcore.store.format import StoreTooNew

log = logging.getLogger("lrserve.api")

PAUSE_SECONDS = 1.0  # between two attempts while Redis is away
STOP_SECONDS = 1.0


class FirstKey:
    """A thread that makes an admin key of the default tenant if the store has no key, and prints its token once.

    It waits for Redis. Of several processes that start together, one makes and prints the key.

    Args:
        form: that of the log, whose lines the token is printed among. The log itself would mask it.
    """

    def __init__(self, keys: KeyStore, audit: AuditLog, form: Literal["text", "json"]) -> None:
        self._keys, self._audit, self._form = keys, audit, form
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="first key", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, made or not."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        record, token = new_key(NOBODY, Role.ADMIN, "first start")  # the same at each attempt: one may have arrived
        while not self._stopped.is_set():
            try:
                if self._keys.add_first(record):
                    self._audit.add(Entry(NOBODY, "api", "POST", "first start", f"/v1/keys/{record['id']}"))
                    self._print(token, record["created_at"])
                return
            except (RedisError, StoreTooNew) as error:
                log.debug("the first key waits for Redis: %s", error)
                self._stopped.wait(PAUSE_SECONDS)

    def _print(self, token: str, at: int) -> None:
        message = f"The store had no keys. This is the first one (tenant {NOBODY}, role admin), shown only here"
        if self._form == "json":
            line = json.dumps(
                {"time": rfc3339(at), "level": "WARNING", "logger": log.name, "message": message, "token": token}
            )
        else:
            line = f"{message}: {token}"
        print(line, file=sys.stderr, flush=True)
