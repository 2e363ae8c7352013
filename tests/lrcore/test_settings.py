from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from lrcore.jobs.ids import new_id
from lrcore.service.settings import Settings
from lrcore.store.connection import broker_url
from lrserve.api.settings import ApiSettings


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ApiSettings.model_fields:
        monkeypatch.delenv(f"LRSERVE_{name.upper()}", raising=False)


def test_a_setting_is_an_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRSERVE_LEASE_SECONDS", "7.5")
    monkeypatch.setenv("LRSERVE_DATA_ROOT", "/srv/data")

    settings = Settings()

    assert (settings.lease_seconds, settings.data_folder) == (7.5, Path("/srv/data"))


def test_data_sets_lie_in_the_home_folder_unless_told_otherwise(tmp_path: Path) -> None:
    assert Settings(home=tmp_path).data_folder == tmp_path.resolve() / "datasets"


@pytest.mark.parametrize(
    ("root", "url"),
    [
        (None, "file://{home}/artifacts"),
        ("/srv/artifacts", "file:///srv/artifacts"),
        ("~/artifacts", f"file://{Path.home().resolve()}/artifacts"),
        ("file:///srv/artifacts", "file:///srv/artifacts"),
        ("github://somebody:project@main", "github://somebody:project@main"),  # any that fsspec knows
    ],
)
def test_artifacts_go_to_a_folder_or_an_fsspec_url(root: str | None, url: str, tmp_path: Path) -> None:
    assert Settings(home=tmp_path, artifact_root=root).artifact_url == url.format(home=tmp_path.resolve())


@pytest.mark.parametrize(
    ("root", "words"),
    [
        ("memory://artifacts", "one process only"),
        ("s4://bucket", "s4"),
        ("wandb://bucket", "wandbfs"),  # which is not installed
    ],
)
def test_an_artifact_root_that_no_process_could_use_is_refused(root: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Settings(artifact_root=root)


def test_a_tilde_is_the_user_s_folder() -> None:
    assert Settings(home=Path("~/somewhere")).home_folder == Path.home().resolve() / "somewhere"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LEASE_SECONDS", "0.5"),
        ("LEASE_SECONDS", "soon"),
        ("HEARTBEAT_SECONDS", "0"),
        ("REAP_SECONDS", "-1"),
        ("MAX_LOSSES", "-1"),
        ("ARTIFACT_ROOT", ""),
        ("MAX_BODY_BYTES", "10"),
        ("SHUTDOWN_SECONDS", "-2"),
        ("WEBHOOK_TIMEOUT_SECONDS", "0"),
    ],
)
def test_a_setting_without_sense_is_refused_by_its_name(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"LRSERVE_{variable}", value)

    with pytest.raises(ValidationError) as refusal:
        ApiSettings()

    assert [error["loc"] for error in refusal.value.errors()] == [(variable.lower(),)]


@pytest.mark.parametrize(
    ("url", "broker"),
    [
        ("redis://host:6380/3", "redis://host:6380/3"),
        ("rediss://:secret@host:6380/0", "rediss://:secret@host:6380/0"),
        ("unix:///run/redis.sock", "redis+socket:///run/redis.sock?virtual_host=0"),
        ("unix:///run/redis.sock?db=2", "redis+socket:///run/redis.sock?virtual_host=2"),
        ("unix://:secret@/run/redis.sock?db=2", "redis+socket://:secret@/run/redis.sock?virtual_host=2"),
    ],
)
def test_celery_is_told_the_same_redis_in_its_own_dialect(url: str, broker: str) -> None:
    assert broker_url(url) == broker


def test_ids_are_unique_and_of_one_length() -> None:
    ids = {new_id() for _ in range(10_000)}

    assert len(ids) == 10_000
    assert {len(job_id) for job_id in ids} == {26}


def test_a_later_id_sorts_behind_an_earlier_one(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([1_700_000_000_000_000_000, 1_700_000_000_001_000_000, 2_700_000_000_000_000_000])
    monkeypatch.setattr("lrcore.jobs.ids.time.time_ns", lambda: next(clock))

    ids = [new_id() for _ in range(3)]

    assert ids == sorted(ids)
