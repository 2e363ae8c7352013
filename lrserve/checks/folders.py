"""Where files go: home, data sets, artifacts. Writes a byte into each, and removes it again."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lrcore.jobs.ids import new_id
from lrcore.service.artifacts import Artifacts, ArtifactsUnavailable
from lrcore.service.logs import masked
from lrcore.service.settings import Settings
from lrserve.checks import Finding, ok, problem, size, warning

LITTLE, TOO_LITTLE = 10 * 2**30, 2**30  # bytes left


def check(settings: Settings) -> Iterator[Finding]:
    """All three."""
    yield folder("home", settings.home_folder, "home" in settings.model_fields_set, "LRSERVE_HOME")
    yield folder("data root", settings.data_folder, settings.data_root is not None, "LRSERVE_DATA_ROOT", needed=False)
    url = settings.artifact_url
    if url.startswith("file://"):
        given = settings.artifact_root is not None
        yield folder("artifact root", Path(url.removeprefix("file://")), given, "LRSERVE_ARTIFACT_ROOT")
    else:
        yield _elsewhere(url)


def folder(name: str, path: Path, given: bool, variable: str, *, needed: bool = True) -> Finding:
    """A folder on a file system of this machine.

    Args:
        given: whether somebody chose it: one that is not there is then a mistake, or a disk that is not mounted.
        needed: whether nothing works if it cannot be written; else what lies there can still be read.
    """
    elsewhere = f"or set {variable} to another folder"
    if path.exists() and not path.is_dir():
        return problem(name, f"{path} is no folder", f"remove it, {elsewhere}")
    if not path.exists() and given:
        return problem(name, f"{path} is not there", f"mount what belongs there, mkdir -p {path}, {elsewhere}")
    there = next(each for each in (path, *path.parents) if each.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=there) as file:
            file.write(b".")
            file.flush()
    except OSError as error:
        found = f"{there} cannot be written: {error.strerror}"
        fix = f"give this user the right to write there, {elsewhere}"
        if needed or not path.exists():
            return problem(name, found, fix)
        return warning(name, f"{found}; data sets that lie there can be used, none can be downloaded", fix)
    free = shutil.disk_usage(there).free
    found = f"{path}, {size(free)} free" if path.exists() else f"{path} is made when it is needed; {size(free)} free"
    if free < TOO_LITTLE:
        return problem(name, found, f"make room: jobs will fail with disk_full; {elsewhere}")
    if free < LITTLE:
        return warning(name, found, f"make room soon, {elsewhere}")
    return ok(name, found)


def _elsewhere(url: str) -> Finding:
    """An artifact root that another protocol reaches."""
    artifacts, job, shown = Artifacts(url), f"doctor-{new_id()}", masked(url)
    try:
        with tempfile.TemporaryDirectory() as own:
            file = Path(own) / "probe"
            file.write_bytes(b".")
            artifacts.put(job, file)
        names = [artifact.name for artifact in artifacts.of(job)]
        artifacts.remove(job)
    except ArtifactsUnavailable as error:
        return problem(
            "artifact root", f"{shown}: {error}", "check address, credentials and network, then run this again"
        )
    if names != ["probe"]:
        return problem("artifact root", f"{shown} does not show what was written", "use storage that is consistent")
    return ok("artifact root", f"{shown} can be written and read")
