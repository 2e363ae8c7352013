"""Event streams of callers with a key: they end with it."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from fastapi.concurrency import run_in_threadpool

from lrcore.access.keys import KeyNotFound, KeyStore
from lrcore.store.connection import RedisError

from ..middleware.auth import FRESH_SECONDS

log = logging.getLogger("lrserve.api")


async def until_revoked(stream: AsyncGenerator[bytes], keys: KeyStore, key_id: str) -> AsyncIterator[bytes]:
    """The stream, as long as the key is good; it is looked at when something is sent, a ping at the latest.

    While Redis does not answer the stream goes on, as requests do.
    """
    looked = time.monotonic()
    async with aclosing(stream):
        async for piece in stream:
            if time.monotonic() - looked > FRESH_SECONDS:
                looked = time.monotonic()
                if not await run_in_threadpool(_good, keys, key_id):
                    log.info("a stream ends with its key")
                    return
            yield piece


def _good(keys: KeyStore, key_id: str) -> bool:
    try:
        return keys.get(key_id).good
    except KeyNotFound:
        return False
    except RedisError:
        return True
