"""HTTP caching: answers kept in memory for requests that come again, and ETags for clients that kept one."""

from __future__ import annotations

import hashlib
from functools import cache

from cachetools import LRUCache

from lrcore import __version__, plugins

BYTES = 32 * 2**20  # kept altogether
OVERHEAD = 500  # of each, for the objects around it
MAX_AGE = 86_400  # seconds: a curve depends on its request and on the versions of lrserve and its plug-ins


class Answers:
    """Answers by the request's bytes, the longest unused dropped first."""

    def __init__(self) -> None:
        self._kept: LRUCache[bytes, tuple[int, bytes]] = LRUCache(BYTES, getsizeof=lambda entry: entry[0])

    def get(self, asked: bytes) -> bytes | None:
        """The answer to the same request, if it is still there."""
        entry = self._kept.get(asked)
        return None if entry is None else entry[1]

    def keep(self, asked: bytes, answer: bytes) -> None:
        """Remember an answer."""
        self._kept[asked] = (len(asked) + len(answer) + OVERHEAD, answer)


def etag(*parts: bytes) -> str:
    """A strong validator of the answer that the parts of a request determine."""
    return '"' + hashlib.blake2b(b"\0".join((_versions(), *parts)), digest_size=16).hexdigest() + '"'


@cache
def _versions() -> bytes:
    return " ".join((__version__, *map(str, plugins.load()))).encode()


def matches(if_none_match: str | None, tag: str) -> bool:
    """Whether the client has the answer with this ETag, RFC 9110 section 13.1.2."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or tag in [each.strip().removeprefix("W/") for each in if_none_match.split(",")]
