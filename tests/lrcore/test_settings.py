from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from lrcore.jobs.ids import new_id
from lrcore.service.settings import Settings
from lrcore.store.connection import broker_settings
from lrcore.store.queue import celery_config
from lrcore.store.redis_url import parse_sentinel
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
        ("REDIS_WAIT_REPLICAS", "-1"),
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
    assert broker_settings(url)["broker_url"] == broker


SENTINELS = "redis+sentinel://api:p%40ss@a,b:26380,[::1]:5/jobs/2?sentinel_username=ask&sentinel_password=%2520"


def test_a_url_of_sentinels_is_read_part_by_part() -> None:
    url = parse_sentinel(SENTINELS)

    assert url.sentinels == (("a", 26379), ("b", 26380), ("::1", 5))
    assert (url.service, url.database, url.tls) == ("jobs", 2, None)
    assert url.credentials == {"username": "api", "password": "p@ss"}
    assert url.sentinel_credentials == {"username": "ask", "password": "%20"}
    assert "p@ss" not in repr(url)


def test_celery_is_told_the_same_sentinels_in_its_own_dialect() -> None:
    broker = celery_config(SENTINELS)

    assert broker["broker_url"].split(";") == [
        "sentinel://api:p%40ss@a:26379/2",
        "sentinel://api:p%40ss@b:26380/2",
        "sentinel://api:p%40ss@[::1]:5/2",
    ]
    options = broker["broker_transport_options"]
    assert (options["master_name"], options["global_keyprefix"]) == ("jobs", "lrserve:broker:")
    assert options["sentinel_kwargs"]["password"] == "%20"
    assert "broker_use_ssl" not in broker


def test_tls_is_for_servers_and_sentinels_alike() -> None:
    url = "rediss+sentinel://a/jobs?ssl_check_hostname=false"

    broker = celery_config(url)

    tls = {"ssl_cert_reqs": "required", "ssl_check_hostname": False}
    assert parse_sentinel(url).tls == tls
    assert broker["broker_use_ssl"] == tls
    assert broker["broker_transport_options"]["sentinel_kwargs"].items() >= {"ssl": True, **tls}.items()


@pytest.mark.parametrize(
    ("url", "field", "way_out"),
    [
        ("http://host:6379", "scheme", "redis://"),
        ("sentinel://host/jobs", "scheme", "redis+sentinel"),
        ("redis://", "host", "HOST:6379"),
        ("redis://host:99999/0", "port", "65535"),
        ("redis://:sec/ret@host:6379/0", "port", "%2F"),
        ("redis://:123/secret@host:6379/0", "host", "%2F"),
        ("redis://user:123/secret@host/0", "database", "%2F"),
        ("redis://:sec#ret@host:6379/0", "#", "%23"),
        ("redis://host:6379/jobs", "database", "redis://HOST:6379/0"),
        ("redis://one,two/0", "host", "redis+sentinel://"),
        ("redis://host/0?ssl_cert_reqs=none", "ssl_cert_reqs", "rediss://"),
        ("redis://host/0?db=1&db=2", "db", "once"),
        ("redis://host/0?db=", "db", "leave it out"),
        ("redis://host/0?socket_timeout=soon", "socket_timeout", "Invalid value"),
        ("rediss://host/0?ssl_ca_cert=ca.pem", "ssl_ca_cert", "did you mean 'ssl_ca_certs'?"),
        ("rediss://host/0?ssl_ca_certs=/nowhere/ca.pem", "ssl_ca_certs", "no file '/nowhere/ca.pem'"),
        ("rediss://host/0?ssl_cert_reqs=maybe", "ssl_cert_reqs", "required, optional, none"),
        ("unix://", "path", "unix:///PATH"),
        ("redis+sentinel://host:26379", "service", "sentinel monitor"),
        ("redis+sentinel://host:26379/0", "service", "/SERVICE/0"),
        ("redis+sentinel://host:26379/jobs/one", "database", "/SERVICE/0"),
        ("redis+sentinel://one,/jobs", "host", "HOST:26379"),
        ("redis+sentinel://one:port/jobs", "port", "HOST:26379"),
        ("redis+sentinel://host/jobs?sentinel_pasword=x", "sentinel_pasword", "'sentinel_password'"),
        ("redis+sentinel://host/jobs?ssl_cert_reqs=none", "ssl_cert_reqs", "rediss+sentinel://"),
        ("rediss+sentinel://host/jobs?ssl_check_hostname=perhaps", "ssl_check_hostname", "true or false"),
    ],
)
def test_a_wrong_url_of_redis_is_refused_with_its_part_and_the_way_out(url: str, field: str, way_out: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        Settings(redis_url=url)

    [error] = refusal.value.errors()
    assert error["loc"] == ("redis_url",)
    assert field in error["msg"]
    assert way_out in error["msg"]
    assert "ret@" not in error["msg"]  # of a password


def test_ids_are_unique_and_of_one_length() -> None:
    ids = {new_id() for _ in range(10_000)}

    assert len(ids) == 10_000
    assert {len(job_id) for job_id in ids} == {26}


def test_a_later_id_sorts_behind_an_earlier_one(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([1_700_000_000_000_000_000, 1_700_000_000_001_000_000, 2_700_000_000_000_000_000])
    monkeypatch.setattr("lrcore.jobs.ids.time.time_ns", lambda: next(clock))

    ids = [new_id() for _ in range(3)]

    assert ids == sorted(ids)
