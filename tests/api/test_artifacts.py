from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lrcore.service.artifacts import Artifacts
from tests.conftest import Service, running_service
from tests.factories import job_spec
from tests.lrserve.test_commands import lrserve

Json = dict[str, Any]

CONTENTS = {
    "best.safetensors": bytes(range(256)) * 20_000,  # several chunks
    "metrics.csv": b"epoch,lr\n0,0.1\n",
    "plot.svg": b"<svg/>",
    "spec.json": b"{}",
}


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """An lrserve with no worker: jobs stay as they are."""
    with running_service(tmp_path_factory.mktemp("idle") / "home", workers=0) as running:
        yield running


@pytest.fixture(scope="module")
def root(idle: Service) -> Path:
    """The artifact root."""
    return idle.stack.settings.home_folder / "artifacts"


@pytest.fixture
def job_id(idle: Service) -> str:
    return idle.client.submit(job_spec()).id


@pytest.fixture
def url(idle: Service, job_id: str, root: Path, tmp_path: Path) -> str:
    """Where the artifacts of a job with CONTENTS are."""
    files = Artifacts(f"file://{root}")
    for name, content in CONTENTS.items():
        (tmp_path / name).write_bytes(content)
        files.put(job_id, tmp_path / name)
    (root / job_id / ".0123.part").write_bytes(b"half of it")
    return f"/v1/jobs/{job_id}/artifacts"


@pytest.mark.slowest
def test_a_job_s_link_lists_its_files(idle: Service, job_id: str, url: str) -> None:
    link = idle.http.get(f"/v1/jobs/{job_id}").json()["links"]["artifacts"]
    answer = idle.http.get(link).json()

    assert link == url
    assert answer["id"] == job_id
    assert [(each["name"], each["size"], each["url"]) for each in answer["artifacts"]] == [
        (name, len(content), f"{url}/{name}") for name, content in sorted(CONTENTS.items())
    ]
    assert all(each["modified_at"].endswith("Z") for each in answer["artifacts"])


def test_a_job_that_has_left_nothing_yet_has_no_files(idle: Service, job_id: str) -> None:
    answer = idle.http.get(f"/v1/jobs/{job_id}/artifacts")

    assert (answer.status_code, answer.json()) == (200, {"id": job_id, "artifacts": []})


@pytest.mark.parametrize(
    ("name", "media_type", "disposition"),
    [
        ("best.safetensors", "application/octet-stream", "attachment"),
        ("metrics.csv", "text/csv; charset=utf-8", "inline"),
        ("plot.svg", "image/svg+xml", "inline"),
        ("spec.json", "application/json", "inline"),
    ],
)
def test_a_file_comes_as_it_was_published(
    name: str, media_type: str, disposition: str, idle: Service, url: str
) -> None:
    answer = idle.http.get(f"{url}/{name}")

    assert answer.content == CONTENTS[name]
    assert answer.headers["content-type"] == media_type
    assert answer.headers["content-length"] == str(len(CONTENTS[name]))
    assert answer.headers["content-disposition"] == f'{disposition}; filename="{name}"'


def test_a_file_that_the_client_has_is_not_sent_again(idle: Service, job_id: str, url: str, root: Path) -> None:
    tag = idle.http.get(f"{url}/spec.json").headers["etag"]
    again = idle.http.get(f"{url}/spec.json", headers={"If-None-Match": tag})
    (root / job_id / "spec.json").write_bytes(b"[]")
    changed = idle.http.get(f"{url}/spec.json", headers={"If-None-Match": tag})

    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert (changed.status_code, changed.content) == (200, b"[]")


@pytest.mark.parametrize("name", ["nothing.json", ".0123.part", "%2e%2e", "..%2F..%2Flock", "a%00b", "a%0Ab", "-"])
def test_nothing_else_is_served(name: str, idle: Service, url: str) -> None:
    answer = idle.http.get(f"{url}/{name}")

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_missing_file_is_named(idle: Service, job_id: str, url: str) -> None:
    answer = idle.http.get(f"{url}/model.onnx")

    assert answer.json() == {
        "type": "urn:lrserve:problem:artifact-not-found",
        "title": "Artifact not found",
        "status": 404,
        "detail": f"job {job_id} has no artifact 'model.onnx'",
    }


@pytest.mark.parametrize("path", ["", "/spec.json"])
def test_an_unknown_job_has_no_files(path: str, idle: Service) -> None:
    answer = idle.http.get(f"/v1/jobs/01aaaaaaaaaaaaaaaaaaaaaaaa/artifacts{path}")

    assert (answer.status_code, answer.json()["type"]) == (404, "urn:lrserve:problem:job-not-found")


@pytest.mark.parametrize("path", ["", "/spec.json"])
def test_a_root_that_is_away_is_said_and_comes_back(
    path: str, idle: Service, url: str, root: Path, request: pytest.FixtureRequest
) -> None:
    aside = root.with_name("aside")
    root.rename(aside)
    request.addfinalizer(lambda: aside.exists() and aside.rename(root))
    root.write_text("a file where the folder should be")

    away = idle.http.get(url + path)
    root.unlink()
    aside.rename(root)
    back = idle.http.get(url + path)

    assert (away.status_code, away.headers["retry-after"]) == (503, "5")
    assert away.json()["type"] == "urn:lrserve:problem:artifacts-unavailable"
    assert str(root) not in away.text
    assert back.status_code == 200


def test_artifacts_are_documented(idle: Service) -> None:
    paths = idle.http.get("/openapi.json").json()["paths"]
    one, all_of_them = paths["/v1/jobs/{job_id}/artifacts/{name}"]["get"], paths["/v1/jobs/{job_id}/artifacts"]["get"]

    assert set(one["responses"]) == {"200", "304", "401", "403", "404", "421", "422", "429", "503"}
    assert "application/octet-stream" in one["responses"]["200"]["content"]
    assert set(all_of_them["responses"]) == {"200", "401", "403", "404", "421", "422", "429", "503"}


def test_artifacts_are_listed_and_downloaded_by_the_command(
    idle: Service, job_id: str, url: str, tmp_path: Path
) -> None:
    listed = lrserve("artifacts", job_id, url=idle.url)
    downloaded = lrserve("artifacts", job_id, "--download", str(tmp_path / "new" / "folder"), url=idle.url)

    assert [line.split() for line in listed.stdout.splitlines()] == [
        [str(len(content)), name] for name, content in sorted(CONTENTS.items())
    ]
    assert {path.name: path.read_bytes() for path in (tmp_path / "new" / "folder").iterdir()} == CONTENTS
    assert downloaded.stdout.split() == [str(tmp_path / "new" / "folder" / name) for name in sorted(CONTENTS)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["no-such-job"], "there is no job 'no-such-job'"), (["JOB", "--download", "FILE"], "File exists")],
)
def test_what_cannot_be_downloaded_is_said(
    arguments: list[str], words: str, idle: Service, job_id: str, url: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    given = {"JOB": job_id, "FILE": str(tmp_path / "file")}

    done = lrserve("artifacts", *(given.get(argument, argument) for argument in arguments), url=idle.url)

    assert done.exit_code == 1
    assert words in done.stderr


@pytest.mark.slow
def test_a_job_leaves_its_files(http: httpx.Client, service: Service, tmp_path: Path) -> None:
    ended = service.train(job_spec(export=["onnx"], dataset={**job_spec()["dataset"], "validation_split": 0.25}))

    assert ended.error is None
    names = [artifact.name for artifact in service.client.artifacts(ended.id)]
    assert names == [
        "best.safetensors",
        "events.out.tfevents.lrserve",
        "last.safetensors",
        "metrics.csv",
        "metrics.json",
        "model.onnx",
        "plot.png",
        "plot.svg",
        "spec.json",
    ]
    kept = json.loads(http.get(f"/v1/jobs/{ended.id}/artifacts/metrics.json").content)
    assert kept["epochs"] == http.get(f"/v1/jobs/{ended.id}/metrics").json()["epochs"]
    assert http.get(f"/v1/jobs/{ended.id}/artifacts/metrics.csv").text == (
        http.get(f"/v1/jobs/{ended.id}/metrics", params={"format": "csv"}).text
    )
    assert http.get(f"/v1/jobs/{ended.id}/artifacts/plot.svg").content == (
        http.get(f"/v1/jobs/{ended.id}/plot.svg").content
    )
    assert json.loads(http.get(f"/v1/jobs/{ended.id}/artifacts/spec.json").content) == ended.spec
    assert not (service.stack.settings.home_folder / "jobs" / ended.id).exists()


@pytest.mark.slow
def test_a_job_whose_files_cannot_be_written_fails_and_no_other(service: Service) -> None:
    root = service.stack.settings.home_folder / "artifacts"
    aside = root.with_name("aside")
    service.train(job_spec())  # so that there is a root
    root.rename(aside)
    root.write_text("a file where the folder should be")

    try:
        lost = service.train(job_spec())
    finally:
        root.unlink()
        aside.rename(root)
    next_one = service.train(job_spec())

    assert lost.state == "failed"
    assert lost.error is not None
    assert lost.error.type == "error"
    assert "the run succeeded, but its files cannot be written" in lost.error.message
    assert next_one.state == "succeeded"
