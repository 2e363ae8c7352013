"""The store in all its roles at once, for tests that play each of them."""

from __future__ import annotations

from lrcore.store.client import ClientStore
from lrcore.store.lease import LeaseStore
from lrcore.store.operator import OperatorStore


class JobStore(ClientStore, LeaseStore, OperatorStore):
    """Client, worker and operator in one."""
