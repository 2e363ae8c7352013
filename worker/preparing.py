"""Stopping what does not ask whether it should: loading data, making a model, with other people's code in it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNAL = signal.SIGUSR1
CHECK_SECONDS = 0.05


class Stopped(BaseException):
    """The block was interrupted. Not an Exception: other people's code may catch all of those."""


@contextmanager
def interruptible(stop: Callable[[], bool]) -> Iterator[None]:
    """Interrupt the block as soon as `stop` says so, by a signal that raises in it. In the main thread only.

    Raises:
        Stopped: `stop` said so before the block was over; perhaps just outside of it, where a signal may still arrive.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread has signals
        return
    done, over = threading.Event(), False

    def interrupt(signum: int, frame: FrameType | None) -> None:
        nonlocal over
        if not (over or _importing(frame)):
            over = True
            raise Stopped

    def watch() -> None:
        while not (over or done.wait(CHECK_SECONDS)):
            if stop():
                signal.pthread_kill(threading.main_thread().ident or 0, SIGNAL)

    before = signal.signal(SIGNAL, interrupt)
    watcher = threading.Thread(target=watch, name="preparing", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over = True  # from here on the handler does nothing
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
