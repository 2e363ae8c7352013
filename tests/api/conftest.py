"""What several tests of the API share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.receiver import Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """An HTTP server that keeps what it is sent."""
    made = Receiver()
    yield made
    made.close()
