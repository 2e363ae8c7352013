"""The files that a job leaves behind."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from lrcore.service.artifacts import Artifact

from ..dependencies import CurrentJob, Files
from ..documented import DocumentedRoute, documented
from ..encoding.cache import etag, matches

router = APIRouter(route_class=DocumentedRoute, prefix="/v1/jobs", tags=["jobs"])

OTHER = "application/octet-stream"
MEDIA_TYPES = {  # of what a browser can show; the rest is saved
    ".csv": "text/csv; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}


class LinkedArtifact(Artifact):
    """A file of a job, and where it is."""

    url: str


class ArtifactList(BaseModel):
    """The files of a job."""

    id: str
    artifacts: list[LinkedArtifact] = Field(description="by name; none before the job has succeeded")


AWAY = "The job store or the artifact root is away"


@router.get("/{job_id}/artifacts", summary="A job's files", responses=documented(_503=AWAY))
def list_job_artifacts(job: CurrentJob, files: Files) -> ArtifactList:
    """Spec, metrics, figure, weights of the best and the last epoch, TensorBoard events, and what was exported."""
    path = f"/v1/jobs/{job.id}/artifacts"
    found = [LinkedArtifact(**vars(artifact), url=f"{path}/{artifact.name}") for artifact in files.of(job.key)]
    return ArtifactList(id=job.id, artifacts=found)


@router.get(
    "/{job_id}/artifacts/{name}",
    summary="One file of a job",
    response_class=Response,
    responses=documented(
        _503=AWAY,
        _200={
            "description": "The file",
            "content": {media.partition(";")[0]: {} for media in (*MEDIA_TYPES.values(), OTHER)},
            "headers": {
                name: {"schema": {"type": "string"}} for name in ("Content-Disposition", "Content-Length", "ETag")
            },
        },
        _304={"description": "The client has this file: If-None-Match names its ETag"},
    ),
)
def get_job_artifact(
    job: CurrentJob, name: Annotated[str, Path(description="as listed")], files: Files, request: Request
) -> Response:
    """The file as it is now, whole: a job that is run again replaces a file at once."""
    file = files.open(job.key, name)
    headers = {"ETag": etag(job.id.encode(), name.encode(), file.version), "Cache-Control": "private, no-cache"}
    if matches(request.headers.get("if-none-match"), headers["ETag"]):
        file.close()
        return Response(status_code=304, headers=headers)
    shown = MEDIA_TYPES.get(PurePosixPath(name).suffix)
    headers["Content-Length"] = str(file.size)
    headers["Content-Disposition"] = f'{"inline" if shown else "attachment"}; filename="{name}"'
    return StreamingResponse(file.chunks(), headers=headers, media_type=shown or OTHER)
