"""The files that jobs leave behind: one folder a job under the artifact root, which is an fsspec URL."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from lrcore.errors import LrcoreError
from lrcore.jobs.job import as_rfc3339

if TYPE_CHECKING:
    from fsspec.spec import AbstractFileSystem

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")  # so neither a path nor a hidden file
CHUNK = 2**20


class ArtifactNotFound(LrcoreError):
    """The job has no such file."""

    def __init__(self, job_id: str, name: str) -> None:
        super().__init__(f"job {job_id} has no artifact {name[:80]!r}")


class ArtifactsUnavailable(LrcoreError):
    """The artifact root does not answer, or refuses."""


class Artifact(BaseModel, frozen=True):
    """A file of a job."""

    name: str
    size: int = Field(description="bytes")
    modified_at: str | None = Field(description="RFC 3339, UTC; null where the storage does not say")


@dataclass(frozen=True)
class Opened:
    """A file that is being read.

    Attributes:
        version: differs from that of the file as it was before or will be after a change.
    """

    size: int
    version: bytes
    _file: IO[bytes]

    def chunks(self) -> Iterator[bytes]:
        """The content, a bounded part at a time; the file is closed afterwards."""
        with self._file as file:
            while chunk := file.read(CHUNK):
                yield chunk

    def close(self) -> None:
        """Read no further."""
        self._file.close()


class Artifacts:
    """The files of all jobs. Safe to share between threads.

    Every method raises ArtifactsUnavailable if the root cannot be used.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def of(self, job_id: str) -> list[Artifact]:
        """The job's files by name; none if it has left nothing, or not yet."""
        with _asking():
            found = [
                Artifact(name=name, size=info["size"], modified_at=_modified(info))
                for name, info in self._files(job_id)
                if NAME.fullmatch(name)
            ]
        return sorted(found, key=lambda artifact: artifact.name)

    def open(self, job_id: str, name: str) -> Opened:
        """Begin to read a file. Raises ArtifactNotFound."""
        if not NAME.fullmatch(name):
            raise ArtifactNotFound(job_id, name)
        path = f"{self._folder(job_id)}/{name}"
        with _asking():
            self._fs.invalidate_cache(path)
            try:
                info = self._fs.info(path)
                if info["type"] != "file":
                    raise FileNotFoundError
                file = self._fs.open(path, "rb")
            except FileNotFoundError:
                raise ArtifactNotFound(job_id, name) from None
        # the size of what was opened: the file may have been replaced since it was looked at
        return Opened(getattr(file, "size", None) or info["size"], repr(sorted(info.items())).encode(), file)

    def put(self, job_id: str, file: Path) -> None:
        """Copy a local file to the job's, over one of the same name. A reader sees the old or the new one, whole."""
        target = f"{self._folder(job_id)}/{file.name}"
        with _asking():
            if not self._renames:
                self._fs.put_file(str(file), target)  # an object store shows an object once it is there
                return
            self._fs.makedirs(self._folder(job_id), exist_ok=True)
            part = f"{self._folder(job_id)}/.{secrets.token_hex(8)}.part"
            try:
                self._fs.put_file(str(file), part)
                self._fs.mv(part, target)
            except BaseException:
                with contextlib.suppress(Exception):
                    self._fs.rm_file(part)
                raise

    def remove(self, job_id: str) -> None:
        """Remove all files of a job."""
        with _asking(), contextlib.suppress(FileNotFoundError):
            self._fs.rm(self._folder(job_id), recursive=True)

    def sweep(self, job_id: str) -> None:
        """Remove what a worker that died while it copied has left."""
        with _asking():
            for name, _ in self._files(job_id):
                if name.startswith(".") and name.endswith(".part"):
                    self._fs.rm_file(f"{self._folder(job_id)}/{name}")

    @cached_property
    def _place(self) -> tuple[AbstractFileSystem, str]:
        with _asking():
            import fsspec  # noqa: PLC0415  # no start waits for it

            fs, root = fsspec.url_to_fs(self._url)
        return fs, root.rstrip("/")

    @property
    def _fs(self) -> AbstractFileSystem:
        return self._place[0]

    @property
    def _renames(self) -> bool:
        """Whether the file system has a rename of its own: fsspec's stand-in copies and deletes."""
        from fsspec.spec import AbstractFileSystem  # noqa: PLC0415

        return type(self._fs).mv is not AbstractFileSystem.mv

    def _folder(self, job_id: str) -> str:
        return f"{self._place[1]}/{job_id}"

    def _files(self, job_id: str) -> Iterator[tuple[str, dict[str, Any]]]:
        self._fs.invalidate_cache(self._folder(job_id))  # other processes write there
        with contextlib.suppress(FileNotFoundError):
            for info in self._fs.ls(self._folder(job_id), detail=True):
                if info["type"] == "file":
                    yield info["name"].rpartition("/")[2], info


@contextlib.contextmanager
def _asking() -> Iterator[None]:
    """Whatever the file system raises as ArtifactsUnavailable: each of fsspec's plugins has exceptions of its own."""
    try:
        yield
    except LrcoreError:
        raise
    except Exception as error:
        raise ArtifactsUnavailable(f"{type(error).__name__}: {error}") from error


def _modified(info: dict[str, Any]) -> str | None:
    for key in ("mtime", "LastModified", "last_modified", "modified"):
        value = info.get(key)
        if isinstance(value, (int, float)):
            value = datetime.fromtimestamp(value, UTC)
        if isinstance(value, datetime):
            return as_rfc3339(value)
    return None
