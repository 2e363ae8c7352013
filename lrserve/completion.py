"""What a shell completes when somebody presses Tab. Nothing here may fail, or take long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import typer

from lrcore.text import visible

if TYPE_CHECKING:
    from lrcore.schedules import Schedule

TIMEOUT = 1.0  # seconds for a server to say which jobs there are
MOST = 30


def schedules(incomplete: str) -> list[str]:
    """Types of schedules."""
    return [name for name in _schedules() if name.lower().startswith(incomplete.lower())]


def parameters(ctx: typer.Context, incomplete: str) -> list[str]:
    """The parameters, as name=, of the schedule whose type stands on the command line."""
    cls = _schedules().get(str(ctx.params.get("schedule")))
    given = {text.partition("=")[0] for text in ctx.params.get("parameters") or []}
    fields = [] if cls is None else [name for name in cls.model_fields if name != "type" and name not in given]
    return [f"{name}=" for name in fields if name.startswith(incomplete)]


def _schedules() -> Mapping[str, type[Schedule]]:
    """All schedules; none where a plug-in cannot be used."""
    from lrcore.plugins import PluginError
    from lrcore.schedules import SCHEDULES

    try:
        return dict(SCHEDULES)
    except PluginError:
        return {}


def frameworks(incomplete: str) -> list[str]:
    """What schedules are translated into."""
    from lrcore.dialects import FRAMEWORKS

    return [name for name in FRAMEWORKS if name.startswith(incomplete)]


def states(incomplete: str) -> list[str]:
    """Where a job can be."""
    from lrcore.jobs.states import State

    return [state.value for state in State if state.startswith(incomplete)]


def jobs(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """The newest jobs' ids, if the server answers."""
    return _ids(ctx, incomplete, "jobs")


def experiments(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """The newest experiments' ids, if the server answers."""
    return _ids(ctx, incomplete, "experiments")


def _ids(ctx: typer.Context, incomplete: str, listing: str) -> list[tuple[str, str]]:
    from itertools import islice

    from lrserve.client import ApiError, Client

    try:
        with Client(ctx.params.get("url"), timeout=TIMEOUT, retries=0) as client:
            newest = list(islice(getattr(client, listing)(page_size=MOST), MOST))
    except ApiError:
        return []
    found = [(visible(job.id), visible(f"{job.kind}, {job.state}")) for job in newest]
    return [(job_id, what) for job_id, what in found if job_id.startswith(incomplete)]
