"""Learning-rate schedules as exact curves, in your own training loop and over HTTP.

    from lrserve import Client, curve

    rates = curve({"type": "StepLR", "step_size": 5, "gamma": 0.5}, steps=20, base_lr=0.1)
    with Client("http://127.0.0.1:8000") as client:
        job = client.submit({"model": {"type": "lenet"}, "dataset": {"type": "digits"}, "epochs": 2})
        job.watch()

Names are imported when they are first used: the client needs no torch, a curve no HTTP library, and the training
engine neither of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lrcore import __version__

if TYPE_CHECKING:
    from lrcore.torch_lr import SpecLR
    from lrserve.client import ApiError, AsyncClient, Client
    from lrserve.curves import curve

__all__ = ["ApiError", "AsyncClient", "Client", "SpecLR", "__version__", "curve"]

_MODULES = {
    "ApiError": "lrserve.client",
    "AsyncClient": "lrserve.client",
    "Client": "lrserve.client",
    "SpecLR": "lrcore.torch_lr",
    "curve": "lrserve.curves",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_MODULES[name]), name)
    return found


def __dir__() -> list[str]:
    return __all__
