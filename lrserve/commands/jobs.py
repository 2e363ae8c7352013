"""Commands about jobs: submit, watch, jobs, job, cancel, pause, resume, retry, clone, delete, artifacts."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lrcore.text import visible
from lrserve import completion
from lrserve.errors import Status, tell, tell_json
from lrserve.options import AsJson, JobId, Url, connect, parse_object, parse_values, read_object
from lrserve.output import board, print_json, print_line, print_result, say, table

if TYPE_CHECKING:
    from lrcore.jobs.job import Job
    from lrserve.client import Client, JobHandle

app = typer.Typer()
PANEL = "Jobs"

Watch = Annotated[bool, typer.Option("--watch", help="stay until it has ended")]
Changes = Annotated[
    list[str] | None,
    typer.Argument(
        help="name=value, such as epochs=20 or optimizer.lr=0.03; or a JSON merge patch",
        metavar="[CHANGE]...",
        show_default=False,
    ),
]


@app.command(rich_help_panel=PANEL)
def submit(
    spec: Annotated[
        str, typer.Argument(help="the job or experiment: a JSON file, JSON itself, or - for standard input")
    ],
    follow: Watch = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what it would do; nothing is submitted")] = False,
    job_id: Annotated[str | None, typer.Option("--id", help="an id of your own, for a training job")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Submit a training job, or an experiment, and print its id."""
    body = read_object(spec, "job")
    with connect(url) as client:
        if dry_run:
            show_plan(client, body, as_json)
            return
        job = client.submit(body, job_id=job_id)
        print_job(job, follow, as_json)


def show_plan(client: Client, body: dict[str, Any], as_json: bool) -> None:
    """Print what a job would do."""
    plan = client.dry_run(body)
    if as_json:
        print_json(plan.model_dump(exclude_none=True))
        return
    say(f"{plan.steps} steps, {plan.steps_per_epoch} an epoch" + (f", {plan.runs} runs" if plan.runs else ""))
    for doubt in plan.warnings:
        tell(f"{doubt['code']}: {doubt['message']}")


def print_job(job: JobHandle, follow: bool, as_json: bool) -> None:
    """Print a new job: its id, or all of it with --json; then watch it, if asked to."""
    if follow and as_json:
        print_line(job.job)
    else:
        print_result(job.job, job.id, as_json=as_json)
    if follow:
        watch_to_end(job, as_json)


@app.command(rich_help_panel=PANEL)
def watch(job_id: JobId, url: Url = None, as_json: AsJson = False) -> None:
    """Follow a job to its end. With --json every event is a line. The exit status is 0 if the job succeeded, else 4."""
    with connect(url) as client:
        watch_to_end(client.handle(job_id), as_json)


def watch_to_end(job: JobHandle, as_json: bool) -> None:
    """Show how a job goes and what it came to. Raises typer.Exit if it has not succeeded."""
    if as_json:
        for event in job.events():
            print_line(event)
        ended = job.now()
    else:
        ended = job.watch()
    if ended.state != "succeeded":
        reason = f"{ended.state}: {ended.error.message}" if ended.error else str(ended.state)
        if as_json:
            tell_json({"title": "The job has not succeeded", "detail": reason}, Status.NOT_SUCCEEDED)
        else:
            tell(reason)
        raise typer.Exit(Status.NOT_SUCCEEDED)
    if not as_json:
        _conclude(job, ended)


def _conclude(job: JobHandle, ended: Job) -> None:
    from lrserve.client import ExperimentHandle

    if isinstance(job, ExperimentHandle):
        say(board(job.leaderboard()), end="")
    elif ended.metrics and ended.best:
        say(
            f"{ended.state}: final test accuracy {ended.metrics.test_accuracy:.4f}, "
            f"best {ended.best.test_accuracy:.4f} at epoch {ended.best.epoch}"
        )


@app.command("jobs", rich_help_panel=PANEL)
def list_jobs(
    state: Annotated[
        str | None,
        typer.Option(
            help="only queued, running, paused, succeeded, failed or cancelled ones", autocompletion=completion.states
        ),
    ] = None,
    label: Annotated[str | None, typer.Option(help="only those with this label")] = None,
    limit: Annotated[int, typer.Option(help="how many at most; 0 for all", min=0)] = 20,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first. With --json each is a line."""
    with connect(url) as client:
        found = client.jobs(state=state, label=label, page_size=min(limit or 100, 100))
        print_jobs(islice(found, limit or None), as_json)


def print_jobs(found: Any, as_json: bool) -> None:
    """A table of jobs, or a line of JSON each."""
    if as_json:
        for each in found:
            print_line(each)
        return
    rows = [(j.id, j.kind, j.state, f"{j.progress.fraction:.0%}", " ".join(j.labels), j.created_at) for j in found]
    say(table(["id", "kind", "state", "done", "labels", "created"], rows))


@app.command(rich_help_panel=PANEL)
def job(job_id: JobId, url: Url = None, as_json: AsJson = False) -> None:
    """Show a job: state, progress, last and best metrics."""
    with connect(url) as client:
        found = client.job(job_id)
    if as_json:
        print_json(found)
        return
    facts = found.model_dump(mode="json")
    spec, progress = facts.pop("spec"), facts.pop("progress")
    say(table(["", ""], [(name, _shown(value)) for name, value in facts.items() if value not in (None, [])]))
    say(f"progress: {json.dumps(progress)}\nspec: {json.dumps(spec)}")


def _shown(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


@app.command(rich_help_panel=PANEL)
def cancel(job_id: JobId, url: Url = None, as_json: AsJson = False) -> None:
    """Cancel a job and print its state: cancelled, or running until its worker has stopped."""
    with connect(url) as client:
        job = client.cancel(job_id)
    print_result(job, job.state, as_json=as_json)


@app.command(rich_help_panel=PANEL)
def pause(job_id: JobId, url: Url = None, as_json: AsJson = False) -> None:
    """Pause a job and print its state: paused, or running until its worker has stopped."""
    with connect(url) as client:
        job = client.pause(job_id)
    print_result(job, job.state, as_json=as_json)


@app.command(rich_help_panel=PANEL)
def resume(job_id: JobId, url: Url = None, as_json: AsJson = False) -> None:
    """Put a paused job back into its queue; it goes on where it stopped."""
    with connect(url) as client:
        job = client.resume(job_id)
    print_result(job, job.state, as_json=as_json)


@app.command(rich_help_panel=PANEL)
def retry(job_id: JobId, follow: Watch = False, url: Url = None, as_json: AsJson = False) -> None:
    """Run an ended job again, as a new one, and print its id."""
    with connect(url) as client:
        print_job(client.retry(job_id), follow, as_json)


@app.command(rich_help_panel=PANEL)
def clone(
    job_id: JobId, changes: Changes = None, follow: Watch = False, url: Url = None, as_json: AsJson = False
) -> None:
    """Submit a job like another one, with changes, and print its id; null takes a field out."""
    patch = patch_of(changes or [])
    with connect(url) as client:
        print_job(client.clone(job_id, patch), follow, as_json)


def patch_of(changes: list[str]) -> dict[str, Any]:
    """A merge patch from name=value, with dots between the names of what is nested. Raises typer.BadParameter."""
    if len(changes) == 1 and changes[0].lstrip().startswith("{"):
        return parse_object(changes[0], "the change")
    patch: dict[str, Any] = {}
    for name, value in parse_values(changes).items():
        *outer, last = name.split(".")
        place = patch
        for part in outer:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise typer.BadParameter(f"{name}: another change gives {part} as a whole")
        place[last] = value
    return patch


@app.command(rich_help_panel=PANEL)
def delete(job_id: JobId, url: Url = None, as_json: AsJson = False) -> None:
    """Delete an ended job with all its files."""
    with connect(url) as client:
        client.delete(job_id)
    if as_json:
        print_json({"deleted": job_id})


@app.command(rich_help_panel=PANEL)
def artifacts(
    job_id: JobId,
    names: Annotated[
        list[str] | None,
        typer.Argument(help="which to download; all if none is named", metavar="[NAME]...", show_default=False),
    ] = None,
    download: Annotated[
        Path | None, typer.Option(help="folder to put the files into; made if need be", show_default=False)
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List what a job has left behind: weights, metrics, figure, TensorBoard events; or download it."""
    if names and download is None:
        raise typer.BadParameter("to download files, say where to: --download FOLDER")
    with connect(url) as client:
        job = client.handle(job_id)
        if download is not None:
            files = list(map(str, job.download(download, names or None)))
            print_result(files, "\n".join(files), as_json=as_json)
            return
        found = job.artifacts()
    if as_json:
        print_json(found)
        return
    for artifact in found:
        say(f"{artifact.size:>12}  {visible(artifact.name)}")
