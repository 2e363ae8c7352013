"""What routes ask for by annotation. FastAPI calls in a thread what is no coroutine: these wait for nothing."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request

from lrcore import unique_keys
from lrcore.jobs.job import Job
from lrcore.numerics.lengths import MAX_DEPTH
from lrcore.service.artifacts import Artifacts
from lrcore.service.reaper import Reaper
from lrcore.store.client import ClientStore
from lrcore.store.operator import OperatorStore

from .documented import refuses
from .middleware.auth import Caller
from .problems import Invalid, shortened

MAX_JSON_DEPTH = 64  # objects and lists inside each other, twice what an experiment over the deepest schedules has


async def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


@refuses(503)
async def _store(request: Request) -> ClientStore:
    store: ClientStore = request.app.state.store
    return store.of(request.state.caller.tenant)


def of_app(name: str, *statuses: int) -> Any:
    """What the application has under a name in its state, as a dependency.

    Args:
        statuses: with which its use may refuse a request.
    """

    async def found(request: Request) -> Any:
        return getattr(request.app.state, name)

    return Depends(refuses(*statuses)(found))


Who = Annotated[Caller, Depends(_caller)]
Store = Annotated[ClientStore, Depends(_store)]
Operator = Annotated[OperatorStore, of_app("operator", 503)]
CurrentReaper = Annotated[Reaper, of_app("reaper")]
Files = Annotated[Artifacts, of_app("artifacts", 503)]


@refuses(404)
def _job(job_id: str, store: Store) -> Job:
    return store.get(job_id)


CurrentJob = Annotated[Job, Depends(_job)]


@refuses(400, 408, 413, 415, 422)
async def json_body(request: Request) -> None:
    """Refuse a body that is not declared as JSON (415), nests too deeply, or has a key twice in one object (422).

    Raises:
        HTTPException: the content type is another one.
        Invalid: the body nests too deeply, or an object in it has a key twice.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json" and not content_type.endswith("+json"):
        got = f"not {content_type}" if content_type else "and there is no Content-Type"
        raise HTTPException(
            415, f"the body must be application/json, {got}; with curl: -H 'Content-Type: application/json'"
        )
    body = await request.body()
    if body.count(b"[") + body.count(b"{") > MAX_JSON_DEPTH and _too_deep(await request.json()):
        message = f"objects and lists may nest {MAX_JSON_DEPTH} deep at most, and schedules {MAX_DEPTH} deep"
        raise Invalid((("body",), message))
    try:
        unique_keys.check(body)
    except unique_keys.DuplicateKey as error:
        raise Invalid((("body", *shortened(error.path)), str(error))) from None


def _too_deep(data: Any) -> bool:
    level = [data]
    for _ in range(MAX_JSON_DEPTH + 1):
        containers = (
            each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)
        )
        level = [inside for container in containers for inside in container]
    return bool(level)
