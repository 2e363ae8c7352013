"""Calls about jobs of all kinds, their files, and experiments."""

from __future__ import annotations

import csv
import io
import json
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import httpx
from pydantic import BaseModel

from lrcore.jobs.job import Epoch, Job, RunRow
from lrcore.jobs.states import State
from lrcore.reports.leaderboard import By, Row
from lrcore.reports.leaderboard import as_csv as ranked_csv
from lrcore.reports.metrics import as_csv as epochs_csv
from lrcore.service.artifacts import Artifact
from lrcore.text import cell, csv_of
from lrserve.client.calls import (
    Call,
    Flow,
    Page,
    SpecLike,
    as_json,
    content,
    given,
    list_of,
    model,
    nothing,
    page_of,
    path,
    plain,
)
from lrserve.client.errors import ApiError, JobNotSucceeded
from lrserve.client.methods import Listing, Method
from lrserve.client.responses import Kind, Plan, Records, records_of

if TYPE_CHECKING:
    from lrcore.jobs.range_test import RangeTestResult

WAIT_SECONDS = 30.0  # that the server keeps a request of wait() before it answers

as_job = model(Job)


def kinds() -> Call[list[Kind]]:
    """All job types that the server has."""
    return Call("GET", path("kinds"), list_of(Kind, "kinds"), kept=True)


def submit(spec: SpecLike, *, job_id: str | None = None, idempotency_key: str | None = None) -> Flow[Job]:
    """Submit a job of any type. Its fields decide which.

    A retry after a lost answer creates no second job.

    Args:
        spec: a dict, or a spec object of lrcore. It is posted to the first job type in GET /v1/kinds that has all its
            fields.
        job_id: an id of your own, for a training job.
        idempotency_key: of your own, so that a program that was started again makes no second job either, for a day.
    """
    body = plain(spec)
    if job_id is not None:
        made: Job = yield Call("PUT", path("jobs", job_id), as_job, body=as_json(body))
    else:
        made = yield _submitted((yield from _route(body)), body, idempotency_key)
    return made


def dry_run(spec: SpecLike) -> Flow[Plan]:
    """What a job of any type would do; none is made."""
    body = plain(spec)
    plan: Plan = yield Call("POST", (yield from _route(body)), model(Plan), {"dry_run": "true"}, as_json(body))
    return plan


def _submitted(route: str, body: Mapping[str, Any], idempotency_key: str | None) -> Call[Job]:
    return Call("POST", route, as_job, body=as_json(body), headers=_once(idempotency_key))


def _route(body: Mapping[str, Any]) -> Flow[str]:
    """Where a spec is posted. One that fits no type goes where it fits best: the server names what is wrong."""
    known: list[Kind] = yield kinds()
    return min(known, key=lambda kind: len(body.keys() - kind.parameters["properties"].keys())).submit


def submit_experiment(
    base: SpecLike,
    grid: Mapping[str, Sequence[Any]],
    prune: SpecLike | None = None,
    *,
    name: str | None = None,
    labels: Sequence[str] = (),
    priority: int = 0,
    hardware: str | None = None,
    max_attempts: int = 1,
    idempotency_key: str | None = None,
) -> Call[Job]:
    """Submit an experiment: a job varied over a grid.

    Args:
        base: the job, as for `submit`.
        grid: values by axis: schedule, seed, or a number of the base's optimizer. Schedules may be spec objects.
        prune: such as {"type": "asha"}; None lets all runs go to their end.
    """
    terms = given(name=name, prune=prune, hardware=hardware)
    terms |= {"labels": list(labels), "priority": priority, "max_attempts": max_attempts}
    return _submitted(path("experiments"), plain({"base": base, "grid": grid} | terms), idempotency_key)


def lr_range_test(
    base: SpecLike,
    *,
    start_lr: float = 1e-7,
    end_lr: float = 10.0,
    num_iter: int = 100,
    mode: Literal["exp", "linear"] = "exp",
    seeds: Sequence[int] | None = None,
    use_for: Literal["steepest", "valley", "max_lr"] | None = None,
    idempotency_key: str | None = None,
    **more: Any,
) -> Call[Job]:
    """Submit an LR range test.

    Args:
        base: a training job without its schedule.
        seeds: the test is made with each, and their mean judged.
        use_for: the suggestion at which the training is to be submitted then.
        more: whatever else the route takes: smoothing, stop_factor, labels, priority, …
    """
    own = {"start_lr": start_lr, "end_lr": end_lr, "num_iter": num_iter, "mode": mode}
    body = plain(base) | own | given(seeds=seeds, use_for=use_for) | more
    return _submitted(path("lr-range-tests"), body, idempotency_key)


def job(job_id: str) -> Call[Job]:
    """The job as it is now."""
    return Call("GET", path("jobs", job_id), as_job)


WHOLE = "spec,result"  # of a list's jobs: handles have them


def jobs_page(
    cursor: str | None, *, state: str | None = None, label: str | None = None, page_size: int = 100
) -> Call[Page[Job]]:
    """Jobs, newest first."""
    return Call(
        "GET",
        path("jobs"),
        page_of(Job, "jobs"),
        given(state=state, label=label, limit=page_size, cursor=cursor, fields=WHOLE),
    )


def experiments_page(cursor: str | None, *, state: str | None = None, page_size: int = 100) -> Call[Page[Job]]:
    """Experiments, newest first."""
    return Call(
        "GET",
        path("experiments"),
        page_of(Job, "jobs"),
        given(state=state, limit=page_size, cursor=cursor, fields=WHOLE),
    )


def wait(job_id: str, timeout: float | None = None) -> Flow[Job]:
    """The job, once it has ended. A paused one does not by itself. Raises TimeoutError after `timeout` seconds."""
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        left = WAIT_SECONDS if deadline is None else min(WAIT_SECONDS, deadline - time.monotonic())
        seconds = max(0, round(left))
        headers = {"Prefer": f"wait={seconds}"} if seconds else {}
        found = yield Call("GET", path("jobs", job_id), as_job, headers=headers, timeout=30 + seconds)
        if found.state.ended:
            ended: Job = found
            return ended
        if deadline is not None and time.monotonic() >= deadline:
            raise TimeoutError(f"job {job_id} has not ended within {timeout:g} s; it is {found.state}")


def succeeded(job_id: str, timeout: float | None = None) -> Flow[Job]:
    """The job, once it has succeeded. Raises JobNotSucceeded, and what `wait` raises."""
    ended = yield from wait(job_id, timeout)
    if ended.state is not State.SUCCEEDED:
        raise JobNotSucceeded(ended)
    return ended


def cancel(job_id: str) -> Call[Job]:
    """Ask for a job to be cancelled. A running one is, once its worker has stopped."""
    return _asked(job_id, "cancel")


def pause(job_id: str) -> Call[Job]:
    """Ask for a job to be paused. A running one is, once its worker has stopped."""
    return _asked(job_id, "pause")


def resume(job_id: str) -> Call[Job]:
    """Put a paused job back into its queue."""
    return _asked(job_id, "resume")


def _asked(job_id: str, action: str) -> Call[Job]:
    return Call("POST", path("jobs", job_id, action), as_job)


def retry(job_id: str) -> Call[Job]:
    """Run an ended job again, as a new one."""
    return Call("POST", path("jobs", job_id, "retry"), as_job, headers=_once())


def clone(job_id: str, changes: SpecLike | None = None) -> Call[Job]:
    """Submit a job like another one. `changes` is a merge patch of its spec and options: None takes a field out."""
    return Call("POST", path("jobs", job_id, "clone"), as_job, body=as_json(changes or {}), headers=_once())


def _once(key: str | None = None) -> dict[str, str]:
    """A request with these headers may be sent again: it makes one job."""
    return {"Idempotency-Key": key or uuid.uuid4().hex}


def prioritize(job_id: str, priority: int) -> Call[Job]:
    """Give a job that has not ended another priority, 0 to 9."""
    return Call("PATCH", path("jobs", job_id), as_job, body=as_json({"priority": priority}))


def delete(job_id: str) -> Call[None]:
    """Delete an ended job with all its files."""
    return Call("DELETE", path("jobs", job_id), nothing, repeatable=False)


def metrics(job_id: str) -> Call[Records[Epoch]]:
    """Every finished epoch of a training job."""
    return Call("GET", path("jobs", job_id, "metrics"), records_of(Epoch, "epochs", epochs_csv))


def plot(job_id: str, form: Literal["png", "svg"] = "png") -> Call[bytes]:
    """The job's figure."""
    return Call("GET", path("jobs", job_id, f"plot.{form}"), content)


def artifacts(job_id: str) -> Call[list[Artifact]]:
    """The job's files; none before it has succeeded."""
    return Call("GET", path("jobs", job_id, "artifacts"), list_of(Artifact, "artifacts"))


def download(job_id: str, name: str, folder: Path | str = ".") -> Flow[Path]:
    """Write one of the job's files into a folder, which is made if need be; its path. Raises OSError."""
    file = Path(folder) / Path(name).name
    part = file.with_name(f".{file.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield Call("GET", path("jobs", job_id, "artifacts", name), nothing, into=part)
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)
    return file


def download_all(job_id: str, folder: Path | str = ".", names: Sequence[str] | None = None) -> Flow[list[Path]]:
    """Write the job's files, or those named, into a folder; their paths. Raises OSError."""
    if names is None:
        listed = yield artifacts(job_id)
        names = [artifact.name for artifact in listed]
    found = []
    for name in names:
        file = yield from download(job_id, name, folder)
        found.append(file)
    return found


def range_result(job_id: str, timeout: float | None = None) -> Flow[RangeTestResult]:
    """What a range test came to, once it has. Raises JobNotSucceeded, and TimeoutError after `timeout` seconds."""
    from lrcore.jobs.range_test import RangeTestResult

    ended = yield from succeeded(job_id, timeout)
    if ended.kind != "lr_range_test":
        raise ApiError(f"job {job_id} is no LR range test, but of kind {ended.kind}")
    return RangeTestResult.model_validate(ended.result)


def leaderboard(job_id: str, by: By = "final", baseline: int | None = None) -> Call[Records[Row]]:
    """The configurations of an experiment, the best one first.

    Args:
        by: the test accuracy that orders: of the last epoch, or the best.
        baseline: index of the configuration that the others are compared with; the leader if None.
    """
    reader = records_of(Row, "leaderboard", ranked_csv)
    return Call("GET", path("experiments", job_id, "leaderboard"), reader, given(by=by, baseline=baseline))


def epochs(job_id: str) -> Call[Records[dict[str, str]]]:
    """Every epoch of every run of an experiment, as the columns of its CSV; numbers in its `.frame()`."""
    return Call("GET", path("experiments", job_id, "metrics"), _rows)


def _rows(response: httpx.Response) -> Records[dict[str, str]]:
    text = response.text
    return Records(csv.DictReader(io.StringIO(text)), lambda _: text)


def runs(job_id: str) -> Call[Records[RunRow]]:
    """The runs of an experiment."""
    return Call("GET", path("experiments", job_id), records_of(RunRow, "runs", _table))


def _table(records: Sequence[BaseModel]) -> str:
    """Any records as CSV; what is no number or text is JSON."""
    rows = [record.model_dump(mode="json") for record in records]
    return csv_of([list(rows[0]) if rows else [], *(map(_cell, row.values()) for row in rows)])


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return cell(value)
    return json.dumps(value) if isinstance(value, dict | list) else value


def run(job_id: str, index: int) -> Call[dict[str, Any]]:
    """One run of an experiment, with `spec`, the job that it is, and `epochs`."""
    return Call("GET", path("experiments", job_id, "runs", index), _object)


def _object(response: httpx.Response) -> dict[str, Any]:
    answer: dict[str, Any] = response.json()
    return answer


class JobMethods:
    """The methods of both clients for jobs and experiments. Those that return a handle are in lrserve.client."""

    kinds = Method(kinds)
    dry_run = Method(dry_run)
    jobs = Listing(jobs_page)
    experiments = Listing(experiments_page)
    job = Method(job)
    wait = Method(wait)
    metrics = Method(metrics)
    plot = Method(plot)
    artifacts = Method(artifacts)
    download = Method(download)
    cancel = Method(cancel)
    pause = Method(pause)
    resume = Method(resume)
    prioritize = Method(prioritize)
    delete = Method(delete)
    leaderboard = Method(leaderboard)
    epochs = Method(epochs)
    runs = Method(runs)
    run = Method(run)
