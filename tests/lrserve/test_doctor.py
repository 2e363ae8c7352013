"""lrserve doctor, on set-ups that are broken in one way each."""

from __future__ import annotations

import importlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import RedisError

from lrcore import __version__
from lrcore.access.keys import KeyStore, Role
from lrcore.jobs.job import JobOptions
from lrcore.store.format import FORMAT
from lrcore.store.scripts import PREFIX
from lrcore.store.service_stats import WorkerStats
from lrserve.api.settings import ApiSettings
from lrserve.checks import Finding, Level, devices, folders, settings, store
from lrserve.embedded import find_server
from lrserve.supervisor import free_port
from tests.conftest import Service, until
from tests.factories import SPEC
from tests.stores import JobStore

ROOT = Path(__file__).parents[2]
PASSWORD = "the-password-of-a-test"


def answers(url: str) -> bool:
    try:
        return bool(Redis.from_url(url).ping())
    except RedisError as error:
        return "assword" in str(error) or "NOAUTH" in str(error) or "uthentic" in str(error)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Starts a Redis server with options; its URL."""
    with ExitStack() as ending:

        def start(*options: str, program: tuple[str, ...] = ()) -> str:
            port, folder = free_port(), tmp_path / f"redis-{len(list(tmp_path.iterdir()))}"
            folder.mkdir()
            base = ("--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "")
            process = subprocess.Popen([*program, str(find_server()), *base, *options], stdout=subprocess.DEVNULL)
            ending.callback(process.wait, 10)
            ending.callback(process.terminate)
            url = f"redis://127.0.0.1:{port}/0"
            until(lambda: answers(url))
            return url

        yield start


def findings(url: str, *, exposed: bool = False, **changes: Any) -> dict[str, Finding]:
    """What is found of a Redis, by name; of several with one name, the worst."""
    found = store.check(ApiSettings(redis_url=url, **changes), exposed)
    return {each.name: each for each in sorted(found, key=lambda each: list(Level).index(each.level))}


def test_a_redis_as_it_should_be(started: Callable[..., str]) -> None:
    url = started("--appendonly", "yes", "--maxmemory", "100mb", "--maxmemory-policy", "noeviction")
    JobStore(Redis.from_url(url, decode_responses=True)).present("w", ["cpu", "default"], 60, worker_stats())

    found = findings(url)

    assert {name: each.level for name, each in found.items()} == dict.fromkeys(
        (
            *("redis", "redis version", "redis persistence", "redis eviction", "redis memory", "clock"),
            *("redis rights", "redis replay", "workers", "keys"),
        ),
        Level.OK,
    )
    assert found["workers"].found == "1, of cpu"
    assert not Redis.from_url(url).keys("*doctor*")


def worker_stats(**changes: Any) -> WorkerStats:
    return WorkerStats(version=__version__, host=socket.gethostname(), hardware=("cpu",)).model_copy(update=changes)


def test_one_that_forgets(started: Callable[..., str]) -> None:
    found = findings(started("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"))

    assert found["redis persistence"].level is Level.PROBLEM
    assert "appendonly yes" in found["redis persistence"].fix
    assert found["redis eviction"].level is Level.PROBLEM
    assert "thrown away" in found["redis eviction"].found


def test_one_with_a_wrong_policy_that_does_nothing_yet(started: Callable[..., str]) -> None:
    assert findings(started("--maxmemory-policy", "volatile-lru"))["redis eviction"].level is Level.WARNING


def test_one_that_is_full(started: Callable[..., str]) -> None:
    url = started("--appendonly", "yes", "--maxmemory", "8mb")
    client = Redis.from_url(url)
    with suppress(RedisError):
        for i in range(1000):
            client.set(f"filling:{i}", b"x" * 100_000)

    found = findings(url)

    assert found["redis memory"].level is Level.PROBLEM
    assert "of 8 MiB" in found["redis memory"].found


def test_one_that_is_a_replica(started: Callable[..., str]) -> None:
    primary = started("--appendonly", "yes")
    replica = started("--appendonly", "yes", "--replicaof", "127.0.0.1", primary.split(":")[2].split("/")[0])

    assert findings(replica)["redis role"].level is Level.PROBLEM


def test_none_at_all() -> None:
    found = findings(f"redis://someone:{PASSWORD}@127.0.0.1:{free_port()}/0")

    assert found.keys() == {"redis"}
    assert found["redis"].level is Level.PROBLEM
    assert "does not answer" in found["redis"].found
    assert PASSWORD not in found["redis"].found


def test_one_that_refuses_the_password(started: Callable[..., str]) -> None:
    url = started("--requirepass", PASSWORD)

    assert "refuses the user or the password" in findings(url.replace("//", "//:wrong@"))["redis"].found
    assert "none is given" in findings(url)["redis"].found
    assert findings(url.replace("//", f"//:{PASSWORD}@"))["redis"].level is Level.OK


def test_users_that_may_too_little(started: Callable[..., str]) -> None:
    url = started("--appendonly", "yes")
    admin = Redis.from_url(url)
    rules = (ROOT / "docs" / "deploy" / "redis.acl").read_text().splitlines()
    for rule in (rule for rule in rules if rule.startswith(("user api", "user worker"))):
        _, name, *parts = rule.split()
        secret = [part if not part.startswith(">") else f">{PASSWORD}" for part in parts]
        admin.execute_command("ACL", "SETUSER", name, *secret)
    admin.execute_command(
        "ACL", "SETUSER", "poor", "on", f">{PASSWORD}", "~lrserve:*", "&*", "+@all", "-xadd", "-zrank"
    )
    admin.execute_command("ACL", "SETUSER", "locked", "on", f">{PASSWORD}", "~other:*", "+@all")

    def rights(user: str) -> Finding:
        return findings(url.replace("//", f"//{user}:{PASSWORD}@"))["redis rights"]

    assert (rights("api").level, rights("api").found) == (Level.OK, "those of an API and a worker")
    assert (rights("worker").level, "an API needs" in rights("worker").found) == (Level.OK, True)
    assert rights("poor").level is Level.PROBLEM
    assert rights("poor").found.endswith(": zrank, xadd")
    assert rights("locked").level is Level.PROBLEM


def test_a_default_user_with_too_few_rights_to_replay_the_file(started: Callable[..., str]) -> None:
    url = started("--appendonly", "yes")
    admin = Redis.from_url(url)
    admin.execute_command("ACL", "SETUSER", "operator", "on", f">{PASSWORD}", "~*", "&*", "+@all")
    operator = url.replace("//", f"//operator:{PASSWORD}@")

    def replay(*rights: str) -> Level:
        Redis.from_url(operator).execute_command("ACL", "SETUSER", "default", "reset", *rights)
        return findings(operator)["redis replay"].level

    shipped = (ROOT / "docs" / "deploy" / "redis.acl").read_text().splitlines()[0]
    assert replay(*shipped.removeprefix("user default ").split()) is Level.OK
    assert replay("off") is Level.PROBLEM
    assert replay("off", "~*", "&*", "+@all", "-exec") is Level.PROBLEM
    assert replay("off", "~lrserve:*", "&*", "+@all") is Level.PROBLEM
    rights = ("on", f">{PASSWORD}", "~*", "&*", "+@all", "-acl")
    Redis.from_url(operator).execute_command("ACL", "SETUSER", "api", *rights)
    assert "redis replay" not in findings(url.replace("//", f"//api:{PASSWORD}@"))


def test_one_whose_clock_is_wrong(started: Callable[..., str], tmp_path: Path) -> None:
    moved = tmp_path / "clock"
    library = tmp_path / "clock.so"
    source = ROOT / "tests" / "faults" / "clock.c"
    try:
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    except FileNotFoundError:
        pytest.skip("no C compiler: the clock cannot be moved")
    moved.write_text("-300")
    url = started(program=("env", f"LD_PRELOAD={library}", f"FAULTS_CLOCK={moved}"))

    found = findings(url)["clock"]

    assert found.level is Level.PROBLEM
    assert found.found.startswith("Redis' clock is 300") or found.found.startswith("Redis' clock is 299")
    assert "behind" in found.found


def test_workers_of_another_version_or_machine_and_jobs_that_no_worker_takes(started: Callable[..., str]) -> None:
    url = started("--appendonly", "yes")
    jobs = JobStore(Redis.from_url(url, decode_responses=True))
    assert "none lives" in findings(url)["workers"].found

    jobs.present("w", ["cpu", "default"], 60, worker_stats(version="0.0.9", host="elsewhere"))
    jobs.present("old", ["cpu", "default"], 60, worker_stats(version="0.0.8"))
    jobs.create(SPEC, JobOptions(hardware="gpu.x9"))
    found = findings(url)

    assert found["worker versions"].found.startswith("0.0.8, 0.0.9; here it is ")
    assert "1 jobs wait for gpu.x9" in found["workers"].found
    assert "elsewhere" in found["shared folders"].found
    assert "shared folders" not in findings(url, artifact_root="ftp://127.0.0.1:9/x")


def test_an_api_that_is_open_to_all_or_to_nobody(started: Callable[..., str]) -> None:
    url = started("--appendonly", "yes")

    assert findings(url, auth=False)["keys"].level is Level.OK
    assert findings(url, exposed=True, auth=False)["keys"].level is Level.PROBLEM
    assert "refuses everybody" in findings(url, exposed=True)["keys"].found
    KeyStore(Redis.from_url(url, decode_responses=True)).create("vision", Role.READ)
    assert findings(url, exposed=True)["keys"].found == "1 are good"


def test_settings_that_nobody_reads_have_no_sense_or_contradict_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "LRSERVE_LEASE_SECOND": "5",
        "LRSERVE_REAP_SECONDS": "often",
        "LRSERVE_WEBHOOK_ALLOW": '["nowhere"]',
        "LRSERVE_HEARTBEAT_SECONDS": "50",
        "LRSERVE_STALL_SECONDS": "20",
    }.items():
        monkeypatch.setenv(name, value)

    read, found = settings.read()

    said = {each.found.split(" ")[0].rstrip(":"): each for each in found}
    assert said["LRSERVE_LEASE_SECOND"].level is Level.WARNING
    assert said["LRSERVE_LEASE_SECOND"].fix == "did you mean 'LRSERVE_LEASE_SECONDS'?"
    assert {said[f"LRSERVE_{name}"].level for name in ("REAP_SECONDS", "WEBHOOK_ALLOW")} == {Level.PROBLEM}
    assert "not less than" in said["LRSERVE_HEARTBEAT_SECONDS"].found
    assert said["LRSERVE_STALL_SECONDS"].level is Level.PROBLEM
    assert (read.reap_seconds, read.heartbeat_seconds) == (2.0, 50.0)


def test_settings_as_they_should_be(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("LRSERVE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LRSERVE_LOG_FORMAT", "json")

    assert [each.level for each in settings.read()[1]] == [Level.OK]


def test_a_setting_without_sense_is_taken_for_one_that_nobody_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRSERVE_REDIS_URL", "http://127.0.0.1:6379")

    assert "redis_url" not in settings.read()[0].model_fields_set


def test_gpus_that_are_asked_for_and_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert devices.no_card(ApiSettings()).level is Level.OK
    assert "says gpu.h200" in devices.no_card(ApiSettings(hardware="gpu.h200,fast")).found
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert devices.no_card(ApiSettings(hardware="cpu")).level is Level.WARNING


def test_folders(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()

    def level(path: str | Path, *, given: bool = True, needed: bool = True) -> Level:
        return folders.folder("home", Path(path), given, "LRSERVE_HOME", needed=needed).level

    assert level(tmp_path) is not Level.PROBLEM
    assert level(tmp_path / "later", given=False) is not Level.PROBLEM
    assert level(tmp_path / "not-mounted") is Level.PROBLEM
    assert level(file) is Level.PROBLEM
    assert level("/proc/sys") is Level.PROBLEM  # nobody can write there, root neither
    assert level("/proc/sys", needed=False) is Level.WARNING
    assert level("/proc/later", given=False) is Level.PROBLEM


def test_a_folder_without_room(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", small], capture_output=True).returncode:
        pytest.skip("only root can mount a small file system")
    try:
        found = folders.folder("home", small, True, "LRSERVE_HOME")
    finally:
        subprocess.run(["umount", small], check=True)

    assert found.level is Level.PROBLEM
    assert "4 MiB free" in found.found


def test_an_artifact_root_that_cannot_be_reached(tmp_path: Path) -> None:
    def root(url: str) -> Finding:
        *_, found = folders.check(ApiSettings(home=tmp_path, artifact_root=url))
        return found

    assert root(f"local://{tmp_path}/there").level is Level.OK
    assert root("local:///proc/nowhere").level is Level.PROBLEM
    assert root(f"ftp://someone:{PASSWORD}@127.0.0.1:{free_port()}/x").level is Level.PROBLEM
    assert PASSWORD not in root(f"ftp://someone:{PASSWORD}@127.0.0.1:{free_port()}/x").found


@pytest.mark.slowest
def test_the_command_says_it_for_people_and_for_programs(service: Service, tmp_path: Path) -> None:
    environment = service.stack.services[1].environment | {"CUDA_VISIBLE_DEVICES": ""}
    for made_by_jobs in ("LRSERVE_DATA_ROOT", "LRSERVE_ARTIFACT_ROOT"):  # named, they would have to be there
        environment.pop(made_by_jobs)
    command = [sys.executable, "-m", "lrserve", "doctor"]
    good = subprocess.run([*command, "--json"], env=environment, capture_output=True, text=True)
    report = json.loads(good.stdout)
    assert (good.returncode, [each for each in report["findings"] if each["level"] == "problem"]) == (0, [])
    assert {"name", "level", "found", "fix"} == set(report["findings"][0])
    found = {each["name"]: each for each in report["findings"]}
    assert found["torch"]["found"].startswith(version("torch"))
    # a CUDA build of torchvision beside a CPU build of torch has no operators
    assert (found["torchvision"]["level"] == "ok") == operators_load()

    environment |= {"LRSERVE_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0", "LRSERVE_PLUGINS": "nowhere"}
    bad = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert bad.returncode == 1
    assert "problem  redis: " in bad.stdout
    assert "correct LRSERVE_REDIS_URL" in bad.stdout
    assert "problem  plug-ins: " in bad.stdout


def operators_load() -> bool:
    try:
        return bool(importlib.import_module("torchvision.extension")._has_ops())
    except (ImportError, RuntimeError):
        return False


def test_a_store_of_a_newer_version(started: Callable[..., str]) -> None:
    url = started("--appendonly", "yes")
    Redis.from_url(url).set(f"{PREFIX}format", FORMAT + 1)

    found = findings(url)["redis format"]

    assert (found.level, f"format {FORMAT + 1}" in found.found) == (Level.PROBLEM, True)
