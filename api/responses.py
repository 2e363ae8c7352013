"""Jobs of all types as the API shows them, and how they are submitted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Collection
from typing import Annotated, Any

from fastapi import Header, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import AfterValidator, BaseModel, Field
from starlette.status import HTTP_200_OK

from lrcore import plugins
from lrcore.family import is_none
from lrcore.jobs.job import Job, JobOptions, JobSummary
from lrcore.jobs.job_spec import JobSpec
from lrcore.service import traces
from lrcore.store.client import ClientStore
from lrcore.store.connection import RedisError
from lrcore.store.operator import OperatorStore
from lrcore.store.queue import QUEUE
from lrcore.store.records import NewJob

from .dependencies import CurrentReaper
from .requests import JOB_TYPES, JobSubmission

log = logging.getLogger("lrserve.api")

WAIT = re.compile(r"(?:^|[,;\s])wait=([0-9]{1,9})(?:$|[,;\s])")
MAX_WAIT = 60  # seconds

IdempotencyKey = Annotated[
    str,
    Header(max_length=255, description="a name for this request: sent again within a day, it makes no second job"),
    AfterValidator(lambda key: key.strip('"')),  # a header of the standard's kind is quoted; people leave that out
]
Prefer = Annotated[
    str, Header(description=f"wait=N: answer when the job has ended, or after N seconds; {MAX_WAIT} at most")
]


class Links(BaseModel):
    """Where the rest of a job is."""

    self: str
    metrics: str
    events: str
    cancel: str
    pause: str
    resume: str
    retry: str
    clone: str
    artifacts: str
    plot: str


class ListedJob(JobSummary):
    """A job in a list. Its spec and its result are there if they are asked for."""

    spec: dict[str, Any] | None = Field(None, exclude_if=is_none)
    result: dict[str, Any] | None = Field(None, exclude_if=is_none)
    links: Links


class JobResponse(Job):
    """A job with its links."""

    links: Links


def path_of(job: JobSummary) -> str:
    """Where a job is."""
    known = JOB_TYPES.get(job.kind)  # None: a newer version's
    return f"{known.path if known else '/v1/jobs'}/{job.id}"


def listed(job: JobSummary, fields: Collection[str]) -> ListedJob:
    """The job as lists show it, with some of its longer fields."""
    return ListedJob(
        **{name: value for name, value in vars(job).items() if name in JobSummary.model_fields or name in fields},
        links=links_of(job),
    )


def linked(job: Job) -> JobResponse:
    """The job as the API shows it."""
    return JobResponse(**vars(job), links=links_of(job))


def links_of(job: JobSummary) -> Links:
    """Where the rest of a job is."""
    path = path_of(job)
    return Links(
        self=path,
        metrics=f"{path}/metrics",
        events=f"{path}/events",
        cancel=f"{path}/cancel",
        pause=f"{path}/pause",
        resume=f"{path}/resume",
        retry=f"{path}/retry",
        clone=f"{path}/clone",
        artifacts=f"/v1/jobs/{job.id}/artifacts",
        plot=f"{path}/plot.png",
    )


async def submitted(asked: JobSubmission, key: str, request: Request, reaper: CurrentReaper) -> Response:
    """Put a new job into the store. `key`: the request's Idempotency-Key, or ""."""
    wanted = NewJob(asked.spec, asked.options, key, request.state.caller.tenant, traces.current())
    return created(await request.app.state.submit_batcher.create(wanted), reaper)


def created(job: Job, reaper: CurrentReaper, status: int = 202) -> Response:
    """The answer as bytes: FastAPI would check and copy it first, at the cost of all else that a submit takes."""
    reaper.wake()
    if status != HTTP_200_OK:  # else it was there
        log.info("submitted", extra={"job": job.key})
    headers = {"Location": path_of(job)}
    return Response(linked(job).model_dump_json(), status, headers, media_type="application/json")


def doubts_of_store(
    spec: JobSpec, options: JobOptions, store: ClientStore, operator: OperatorStore
) -> list[dict[str, Any]]:
    """A doubt, if nobody would take the job. Raises JobTooLarge; says nothing where Redis does not answer."""
    try:
        store.check_size(spec)
        used = {f"{name}=={version}" for name, version in plugins.used_by(spec).items()}
        served = [queue.name for queue in operator.queues() if queue.workers]
        workers = operator.service_stats().workers.values() if used else ()
    except RedisError:  # then nobody knows, and the curve is none of Redis' business
        return []
    if used:
        if any(used <= set(each.plugins) and options.hardware in (None, *each.hardware) for each in workers):
            return []
    elif (options.hardware or QUEUE) in served:
        return []
    wanted = f"with hardware {options.hardware!r} " if options.hardware else ""
    wanted += f"with plug-in {', '.join(sorted(used))} " if used else ""
    known = ", ".join(name for name in served if name != QUEUE and "," not in name) or "none"
    return [{"code": "no_worker", "message": f"no worker {wanted}lives now; there are: {known}", "step": None}]


async def waited(job: Job, prefer: str, store: ClientStore, request: Request, response: Response) -> Job:
    """The job once it has ended, or after as many seconds as the client prefers to wait, by RFC 7240."""
    if (asked := WAIT.search(prefer)) is None:
        return job
    seconds = min(int(asked[1]), MAX_WAIT)
    response.headers["Preference-Applied"] = f"wait={seconds}"
    if job.state.ended:
        return job
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await request.app.state.event_broadcaster.wait_for(store.events_key(job.key), "end")
    return await run_in_threadpool(store.get, job.id)
