"""The limit on open files, and how many connections it leaves room for."""

from __future__ import annotations

import logging
import resource

from .bounded_http import MOST_REFUSED

log = logging.getLogger("lrserve.api")

OTHERS = 1024  # not of clients: up to 256 webhooks in flight, each with two connections to Redis; threads, artifacts
RESERVED = MOST_REFUSED + OTHERS


def connections_for(wanted: int) -> int:
    """Raise the soft limit (RLIMIT_NOFILE) to what `wanted` connections need, as far as the hard limit allows.

    Returns:
        How many connections fit: `wanted`, or fewer. At least half of the files are for connections.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + RESERVED
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        except (OSError, ValueError):  # macOS: the kernel's own bound is below the hard limit
            soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    fit = max(1, soft - min(RESERVED, soft // 2))
    if fit >= wanted:
        return wanted
    log.warning(
        "LRSERVE_MAX_CONNECTIONS is %d, but only %d connections fit into the %d files that this process may open: "
        "it serves %d. Raise the hard limit to %d (ulimit -Hn, LimitNOFILE, --ulimit nofile)",
        *(wanted, fit, soft, fit, needed),
    )
    return fit
