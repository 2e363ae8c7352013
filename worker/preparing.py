"""Stopping what does not ask whether it should: loading data, making a model, with other people's code in it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from worker.engine import Interrupted

SIGNAL = signal.SIGUSR1
LOOK_SECONDS = 0.05


class _Stop(BaseException):
    """Not an Exception: what is interrupted may catch all of those."""


@contextmanager
def interruptible(stop: Callable[[], bool]) -> Iterator[None]:
    """Interrupt the block as soon as `stop` says so, by a signal that raises in it. In the main thread only.

    Raises:
        Interrupted: `stop` said so before the block was done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread has signals
        return
    done, raised = threading.Event(), False

    def interrupt(signum: int, frame: FrameType | None) -> None:
        nonlocal raised
        if not (raised or done.is_set() or _importing(frame)):
            raised = True
            raise _Stop

    def watch() -> None:
        while not done.wait(LOOK_SECONDS):
            if stop():
                signal.pthread_kill(threading.main_thread().ident or 0, SIGNAL)

    before = signal.signal(SIGNAL, interrupt)
    watcher = threading.Thread(target=watch, name="preparing", daemon=True)
    watcher.start()
    try:
        yield
    except _Stop:
        raise Interrupted from None
    finally:
        done.set()
        watcher.join()
        signal.signal(SIGNAL, before)


def _importing(frame: FrameType | None) -> bool:
    """Whether a module is being imported: half of it would stay behind, and torchvision cannot be begun twice."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False
