"""A typed client of the HTTP API."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from lrcore.jobs.artifacts import Artifact
from lrcore.jobs.job import Epoch, Job
from lrcore.jobs.leaderboard import Row

RECONNECTS = 20  # a stream may break that often in a row before following is given up


class ApiError(Exception):
    """The server refused, or did not answer.

    Attributes:
        problem: the application/problem+json answer; empty if there was no answer.
    """

    def __init__(self, message: str, problem: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.problem = problem or {}


@dataclass(frozen=True)
class Event:
    """One server-sent event of a job: `state`, `progress`, `epoch` or `end`."""

    id: str
    type: str
    data: dict[str, Any]


class Client:
    """One lrserve server. Every method raises ApiError, and so does a URL that is none.

    Args:
        key: token of a key; that in LRSERVE_KEY, if any, if None.
    """

    def __init__(self, url: str, timeout: float = 30.0, key: str | None = None) -> None:
        self.url = url.rstrip("/")
        key = os.environ.get("LRSERVE_KEY") if key is None else key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            self._http = httpx.Client(base_url=self.url, timeout=timeout, headers=headers)
        except httpx.InvalidURL as error:
            raise ApiError(f"{self.url} is no URL: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()

    def curve(self, schedule: dict[str, Any], **request: Any) -> dict[str, Any]:
        """The answer of POST /v1/curves; `request` holds steps, base_lr and the rest."""
        answer: dict[str, Any] = self._call("POST", "/v1/curves", json={"schedule": schedule} | request).json()
        return answer

    def curve_as(self, form: str, schedule: dict[str, Any], **request: Any) -> bytes:
        """The curve as csv, npy, png or svg."""
        body = {"schedule": schedule} | request
        return self._call("POST", "/v1/curves", params={"format": form}, json=body).content

    def submit(self, spec: dict[str, Any]) -> Job:
        """Submit a training job, or an experiment, which has a grid."""
        path = "/v1/experiments" if "grid" in spec else "/v1/jobs"
        return Job.model_validate(self._call("POST", path, json=spec).json())

    def job(self, job_id: str) -> Job:
        """The job as it is now."""
        return Job.model_validate(self._call("GET", f"/v1/jobs/{job_id}").json())

    def leaderboard(self, job_id: str) -> list[Row]:
        """The configurations of an experiment, the best one first."""
        rows = self._call("GET", f"/v1/experiments/{job_id}/leaderboard").json()["leaderboard"]
        return [Row.model_validate(row) for row in rows]

    def metrics(self, job_id: str) -> list[Epoch]:
        """Every finished epoch."""
        rows = self._call("GET", f"/v1/jobs/{job_id}/metrics").json()["epochs"]
        return [Epoch.model_validate(row) for row in rows]

    def cancel(self, job_id: str) -> Job:
        """Ask for a job to be cancelled."""
        return self._ask(job_id, "cancel")

    def pause(self, job_id: str) -> Job:
        """Ask for a job to be paused."""
        return self._ask(job_id, "pause")

    def resume(self, job_id: str) -> Job:
        """Put a paused job back into its queue."""
        return self._ask(job_id, "resume")

    def retry(self, job_id: str) -> Job:
        """Run an ended job again, as a new one."""
        return self._ask(job_id, "retry")

    def _ask(self, job_id: str, action: str) -> Job:
        return Job.model_validate(self._call("POST", f"/v1/jobs/{job_id}/{action}").json())

    def plot(self, job_id: str, form: str = "png") -> bytes:
        """The job's figure."""
        return self._call("GET", f"/v1/jobs/{job_id}/plot.{form}").content

    def artifacts(self, job_id: str) -> list[Artifact]:
        """The job's files."""
        rows = self._call("GET", f"/v1/jobs/{job_id}/artifacts").json()["artifacts"]
        return [Artifact.model_validate(row) for row in rows]

    def download(self, job_id: str, name: str, folder: Path) -> Path:
        """Write one of the job's files into a folder. Raises OSError if it cannot be written."""
        file = folder / Path(name).name
        part = file.with_name(f".{file.name}.part")
        try:
            with self._http.stream("GET", f"/v1/jobs/{job_id}/artifacts/{name}") as response, part.open("wb") as out:
                _raise_for(response)
                for chunk in response.iter_bytes():
                    out.write(chunk)
            os.replace(part, file)
        except httpx.TransportError as error:
            raise ApiError(f"{self.url} does not answer: {error}") from error
        finally:
            part.unlink(missing_ok=True)
        return file

    def ready(self) -> dict[str, Any]:
        """The answer of /readyz."""
        answer: dict[str, Any] = self._call("GET", "/readyz").json()
        return answer

    def follow(self, job_id: str) -> Iterator[Event]:
        """The job's events from its beginning to its `end`, over broken connections too."""
        last, broken = "0", 0
        while True:
            try:
                with self._http.stream(
                    "GET", f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": last}, timeout=60
                ) as response:
                    _raise_for(response)
                    for event in _events(response.iter_lines()):
                        last, broken = event.id, 0
                        yield event
                        if event.type == "end":
                            return
            except httpx.TransportError as error:
                broken += 1
                if broken > RECONNECTS:
                    raise ApiError(f"{self.url} does not answer: {error}") from error

    def _call(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **arguments)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise ApiError(f"{self.url} does not answer: {error}") from error
        except ValueError as error:  # NaN, which Python reads from JSON but which is none
            raise ApiError(f"this cannot be sent as JSON: {error}") from error
        _raise_for(response)
        return response


def _raise_for(response: httpx.Response) -> None:
    if response.is_success:
        return
    response.read()
    try:
        problem = response.json()
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in problem.get("errors") or []]
        message = "\n".join([f"{problem['title']} ({response.status_code})", *(lines or [problem["detail"]])])
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError):
        raise ApiError(f"{response.url} answered {response.status_code}, and not as lrserve would") from None
    raise ApiError(message, problem)


def _events(lines: Iterator[str]) -> Iterator[Event]:
    fields: dict[str, str] = {}
    for line in lines:
        if not line:
            if "data" in fields:
                yield Event(fields.get("id", ""), fields.get("event", "message"), json.loads(fields["data"]))
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
