"""Which version of the records a store holds, and how an older store is brought to this one's."""

from __future__ import annotations

import time

from lrcore.errors import LrcoreError

FORMAT = 1  # of the records; a store without a number is of the first. lua/format.lua has the migrations
CHECK_SECONDS = 5.0  # within which a process that is older than the store notices


class StoreTooNew(LrcoreError):
    """The store was written by a newer version, and this one might spoil it."""

    def __init__(self, found: int, known: int) -> None:
        super().__init__(
            f"the job store has records of format {found}, and this version of lrserve knows formats up to {known}: "
            "it takes a newer version, or the backup from before the upgrade"
        )


class StoreFormat:
    """Remembers when this process last checked the store's format."""

    def __init__(self) -> None:
        self._until = 0.0

    def is_due(self) -> bool:
        """Return whether the number must be read again, by lua/format.lua."""
        return time.monotonic() >= self._until

    def accept(self, found: int) -> None:
        """Take the number that was found. Raises StoreTooNew."""
        if found > FORMAT:
            raise StoreTooNew(found, FORMAT)
        self._until = time.monotonic() + CHECK_SECONDS
