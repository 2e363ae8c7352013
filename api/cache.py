"""HTTP caching: answers kept in memory for requests that come again, and ETags for clients that kept one."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Hashable

from cachetools import LRUCache
from fastapi import Response

from lrcore import __version__

BYTES = 64 * 2**20  # kept altogether
LARGEST = 2**20  # of one answer with its request
MAX_AGE = 86_400  # seconds: a curve depends on its request and on the version alone


class Answers:
    """Whole answers by what was asked, the longest unused dropped first. Safe to share between threads."""

    def __init__(self) -> None:
        self._kept: LRUCache[Hashable, tuple[int, Response]] = LRUCache(BYTES, getsizeof=lambda entry: entry[0])
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Response | None:
        """The answer to the same request, if it is still there."""
        with self._lock:
            entry = self._kept.get(key)
        return None if entry is None else entry[1]

    def keep(self, key: Hashable, asked: bytes, response: Response) -> None:
        """Remember a whole answer, unless it is large or a stream."""
        body = getattr(response, "body", None)
        if body is not None and (size := len(asked) + len(body) + 1000) <= LARGEST:
            with self._lock:
                self._kept[key] = (size, response)


def etag(*parts: bytes) -> str:
    """A strong validator of the answer that the parts of a request determine."""
    return '"' + hashlib.blake2b(b"\\0".join((__version__.encode(), *parts)), digest_size=16).hexdigest() + '"'


def matches(if_none_match: str | None, tag: str) -> bool:
    """Whether the client has the answer with this ETag, RFC 9110 section 13.1.2."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or tag in [each.strip().removeprefix("W/") for each in if_none_match.split(",")]
