"""Which version of the records a store holds, and how an older store is brought to this one's."""

from __future__ import annotations

import time
from collections.abc import Mapping

from redis import Redis

from lrcore.errors import LrcoreError

FORMAT = 1  # of the records; a store without a number is of the first
# From a number to the next one: Lua, with P as the keys' prefix, that changes all records at once. What an older
# process would still read rightly, such as a field more, needs neither a number nor an entry here
MIGRATIONS: Mapping[int, str] = {}
LOOK_SECONDS = 5.0  # within which a process that is older than the store notices


class StoreTooNew(LrcoreError):
    """The store was written by a newer version, and this one might spoil it."""

    def __init__(self, found: int, known: int) -> None:
        super().__init__(
            f"the job store has records of format {found}, and this version of lrserve knows formats up to {known}: "
            "it takes a newer version, or the backup from before the upgrade"
        )


class StoreFormat:
    """The number in a store. Safe to share between threads.

    Args:
        number: that of the code.
        migrations: as MIGRATIONS, an entry for each number below.
    """

    def __init__(
        self, redis: Redis, prefix: str, number: int = FORMAT, migrations: Mapping[int, str] = MIGRATIONS
    ) -> None:
        self._number, self._until = number, 0.0
        steps = "".join(f"if found == {n} then {migrations[n]}\nfound = {n + 1} end\n" for n in range(1, number))
        self._look, self._prefix = redis.register_script(LOOK.replace("--MIGRATIONS", steps)), prefix

    def check(self) -> None:
        """Look at the number, from time to time, and migrate an older store.

        Raises:
            StoreTooNew: the store was written by a newer version.
        """
        if time.monotonic() < self._until:
            return
        found = int(self._look(args=[self._prefix, self._number]))
        if found > self._number:
            raise StoreTooNew(found, self._number)
        self._until = time.monotonic() + LOOK_SECONDS


# prefix, number of the code -> that of the store, afterwards
LOOK = """
local P, known = ARGV[1], tonumber(ARGV[2])
local stored = redis.call('GET', P .. 'format')
local found = tonumber(stored or 1)
if found > known then return found end
--MIGRATIONS
if found ~= tonumber(stored or 1) then redis.call('SET', P .. 'format', found) end
return found
"""
