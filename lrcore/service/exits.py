"""How processes end."""

from __future__ import annotations

import signal

STALLED = 75  # exit status of a worker whose job stood still: EX_TEMPFAIL of sysexits.h


def how_it_ended(status: int) -> str:
    """Describe an exit status, negative for a signal as subprocess has it, such as "by signal 15 (SIGTERM)"."""
    if status >= 0:
        return f"with exit status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:  # a real-time signal
        return f"by signal {-status}"
    why = ", which the system sends when memory runs out" if -status == signal.SIGKILL else ""
    return f"by signal {-status} ({name}{why})"
