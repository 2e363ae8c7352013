"""Dockerfile, compose file and manifests: they fit the code and each other; by `make test-deploy`, what tools say."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shlex import quote
from typing import Any

import pytest
import yaml
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError, ResponseError
from redis.retry import Retry

from lrserve.api.settings import ApiSettings
from lrserve.checks import store
from lrserve.embedded import find_server
from lrserve.supervisor import free_port
from tests.conftest import redis_process, until

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "docs" / "deploy"
MANIFESTS = sorted((DEPLOY / "k8s").rglob("*.yaml"))
KUSTOMIZATIONS = sorted(file.parent for file in MANIFESTS if file.name == "kustomization.yaml")
PASSWORDS = {f"{name}_PASSWORD": f"{name.lower()}4f2" for name in ("OPERATOR", "API", "WORKER")}


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name}: make test-deploy installs it")
    return found


def documents(file: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(file.read_text()))


def base() -> dict[tuple[str, str], dict[str, Any]]:
    found = [each for file in (DEPLOY / "k8s" / "base").glob("*.yaml") for each in documents(file)]
    return {(each["kind"], each.get("metadata", {}).get("name", "")): each for each in found}


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "docker-compose.yml").read_text()))


def container(name: str) -> dict[str, Any]:
    kind = "StatefulSet" if name == "redis" else "Deployment"
    [found] = base()[kind, name]["spec"]["template"]["spec"]["containers"]
    return dict(found)


def test_every_setting_that_is_named_exists() -> None:
    known = {f"LRSERVE_{name}".upper() for name in ApiSettings.model_fields}
    for file in (ROOT / "Dockerfile", ROOT / "docker-compose.yml", *MANIFESTS):
        named = set(re.findall(r"\bLRSERVE_[A-Z_]+", file.read_text()))
        assert named <= known, file


def test_all_containers_run_as_a_user_who_may_do_nothing_with_a_root_that_is_read_only() -> None:
    for name in ("redis", "api", "worker"):
        workload = base()["StatefulSet" if name == "redis" else "Deployment", name]["spec"]["template"]["spec"]
        assert workload["securityContext"]["runAsNonRoot"] is True
        assert workload["automountServiceAccountToken"] is False
        secure = container(name)["securityContext"]
        assert (secure["readOnlyRootFilesystem"], secure["allowPrivilegeEscalation"]) == (True, False)
        assert secure["capabilities"] == {"drop": ["ALL"]}
    for name, service in compose()["services"].items():
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"]), name


def test_the_user_of_the_images_is_the_same_everywhere() -> None:
    text = (ROOT / "Dockerfile").read_text()
    [made] = re.findall(r"groupadd .*--gid (\d+) lrserve", text)
    [(user, group)] = re.findall(r"useradd .*--uid (\d+) --gid (\w+) .*lrserve", text)
    assert (user, made, group) == ("10001", "10001", "lrserve")
    assert re.findall(r"^USER (.*)", text, re.MULTILINE) == [f"{user}:{made}"] * 3
    for name in ("api", "worker"):
        secure = base()["Deployment", name]["spec"]["template"]["spec"]["securityContext"]
        assert [secure[each] for each in ("runAsUser", "runAsGroup", "fsGroup")] == [int(user), int(made), int(made)]
    redis = base()["StatefulSet", "redis"]["spec"]["template"]["spec"]["securityContext"]
    assert [redis[each] for each in ("runAsUser", "runAsGroup", "fsGroup")] == [999, 1000, 1000]  # redis:7-alpine's
    users = {name: service.get("user") for name, service in compose()["services"].items()}
    assert users == {"redis": "redis", "api": None, "worker": None, "worker-cpu": None}


def test_the_dockerfile_needs_no_buildkit_and_nothing_else_of_docker_hub() -> None:
    text = (ROOT / "Dockerfile").read_text()
    images = [name for name, _ in re.findall(r"^FROM (\S+)( AS \w+)", text, re.MULTILINE)]
    assert not re.search(r"^# *syntax=|--mount=|<<|--link|--chmod|--parents|--exclude", text, re.MULTILINE)
    assert set(images) == {"python:3.12", "python:3.12-slim", "build", "base", "training"}


@pytest.mark.parametrize(
    ("image", "extras"),
    [("api", ["server"]), ("worker", ["worker-libraries"]), ("lrserve", ["server", "worker-libraries", "embedded"])],
)
def test_the_lock_of_each_image_has_what_its_extras_ask_for(image: str, extras: list[str]) -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    asked = [each for extra in ("shared", *extras) for each in known[extra] if not each.startswith("lrserve")]
    locked = re.findall(r"^([\w.-]+)==", (ROOT / "requirements" / f"{image}.txt").read_text(), re.MULTILINE)

    assert {re.split(r"[\[<>=; ]", each)[0] for each in asked} <= set(locked), "run make PYTHON=python3.12 lock"


def test_the_doctor_in_the_image_of_the_api_knows_that_keys_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, stage = (ROOT / "Dockerfile").read_text().partition("FROM base AS api\n")
    for name, value in re.findall(r"\b(LRSERVE_[A-Z_]+)=(\S+)", stage.partition("FROM ")[0]):
        monkeypatch.setenv(name, value)
    with redis_process(tmp_path / "redis") as url:
        [keys] = [each for each in store.check(ApiSettings(redis_url=url), exposed=False) if each.name == "keys"]
    assert keys.found == "none is good: the API refuses everybody"


def test_a_worker_s_health_is_asked_for_in_the_same_way_everywhere() -> None:
    [asked] = re.findall(r'CMD (\["sh".*find /tmp/alive.*\])', (ROOT / "Dockerfile").read_text())

    assert container("worker")["livenessProbe"]["exec"]["command"] == json.loads(asked)


def test_redis_is_started_with_the_same_settings_and_users_everywhere() -> None:
    for copied in ("k8s/base", "helm/lrserve"):
        assert (DEPLOY / copied / "redis.acl").read_text() == (DEPLOY / "redis.acl").read_text()
    memory = container("redis")["resources"]["limits"]["memory"]
    [most] = re.findall(r"--maxmemory (\d+)mb", " ".join(container("redis")["command"]))
    assert 0 < int(most) <= 0.75 * int(memory.removesuffix("Gi")) * 1024  # the rest is for a rewrite of its file
    assert compose()["services"]["redis"]["environment"]["REDIS_MAXMEMORY"] == f"${{REDIS_MAXMEMORY:-{most}mb}}"
    assert f"REDIS_MAXMEMORY={most}mb\n" in (DEPLOY / "env.example").read_text()
    for command in (compose()["services"]["redis"]["command"], container("redis")["command"]):
        options = " ".join(command)
        for each in ("--appendonly yes", "--maxmemory-policy noeviction", "--stream-node-max-bytes 512"):
            assert each in options


def test_one_gpu_worker_and_the_time_that_it_needs_to_end() -> None:
    services, worker = compose()["services"], base()["Deployment", "worker"]["spec"]["template"]["spec"]
    [device] = services["worker"]["deploy"]["resources"]["reservations"]["devices"]

    assert (device["count"], device["capabilities"]) == (1, ["gpu"])
    assert container("worker")["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "deploy" not in services["worker-cpu"]
    assert worker["terminationGracePeriodSeconds"] >= int(services["worker"]["stop_grace_period"][:-1]) >= 60


def test_the_redis_of_compose_keeps_what_it_is_given_and_knows_its_users(tmp_path: Path) -> None:
    port, folder = free_port(), tmp_path / "data"
    folder.mkdir()
    [shell, flag, script] = compose()["services"]["redis"]["command"]
    here = {
        "$$": "$",
        "/etc/redis.acl": quote(str(DEPLOY / "redis.acl")),
        "/tmp/users.acl": quote(str(tmp_path / "users.acl")),
        "exec redis-server": f"exec {quote(str(find_server()))} --port {port} --dir {quote(str(folder))}",
    }
    # in one go: what is put in may contain what is replaced, such as /tmp
    script = re.sub("|".join(map(re.escape, here)), lambda found: here[found[0]], script)
    environment = dict(os.environ) | PASSWORDS | {"REDIS_MAXMEMORY": "1500mb"}
    redis = subprocess.Popen([shell, flag, script], env=environment, stdout=subprocess.DEVNULL)
    try:
        operator = Redis(port=port, username="operator", password=PASSWORDS["OPERATOR_PASSWORD"], decode_responses=True)
        until(lambda: answers(operator))
        for name, value in {"appendonly": "yes", "maxmemory-policy": "noeviction", "maxmemory": "1572864000"}.items():
            assert operator.config_get(name) == {name: value}
        assert answers(Redis(port=port, username="health", password="any"))
        assert not answers(Redis(port=port))
        for user in ("api", "worker"):
            client = Redis(port=port, username=user, password=PASSWORDS[f"{user.upper()}_PASSWORD"])
            assert client.set("lrserve:job:x", "y")
        assert (tmp_path / "users.acl").stat().st_mode & 0o077 == 0
    finally:
        redis.terminate()
        assert redis.wait(20) == 0


READY = {
    "compose": compose()["services"]["redis"]["healthcheck"]["test"][1:],
    "startup": container("redis")["startupProbe"]["exec"]["command"],
    "readiness": container("redis")["readinessProbe"]["exec"]["command"],
}
ALIVE = {"liveness": container("redis")["livenessProbe"]["exec"]["command"]}
USERS = {
    "default": "off ~* &* +@all",
    "operator": "on >4f2 ~* &* +@all",
    "health": "on nopass resetkeys resetchannels -@all +ping",
}


def probed(port: int) -> dict[str, bool]:
    """What each probe of Redis says of the server at this port."""
    client = shutil.which("redis-cli")
    if client is None or not _knows_e(client):
        pytest.skip("no redis-cli of Redis 7 or later, as the image has it")
    return {
        name: subprocess.run([client, "-p", str(port), *rest], capture_output=True, check=False).returncode == 0
        for name, (_, *rest) in (READY | ALIVE).items()
    }


def _knows_e(client: str) -> bool:
    return "  -e " in subprocess.run([client, "--help"], capture_output=True, text=True, check=False).stdout


@contextmanager
def redis_server(folder: Path, *options: str, without: str = "", bytes_of_disk: int | None = None) -> Iterator[Redis]:
    """A server with the users above but one, over a folder; an operator's client, which it may refuse yet."""
    folder.mkdir(exist_ok=True)
    users = folder / "users.acl"
    users.write_text("".join(f"user {name} {rights}\n" for name, rights in USERS.items() if name != without))
    port = free_port()
    always = ("--port", str(port), "--dir", str(folder), "--save", "", "--appendonly", "yes", "--aclfile", str(users))

    def fill_the_disk() -> None:
        if bytes_of_disk is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write fails, as on a full disk
            resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_of_disk, bytes_of_disk))

    command = [str(find_server()), *always, *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, preexec_fn=fill_the_disk)
    try:
        retry = Retry(NoBackoff(), 0)
        client = Redis(port=port, username="operator", password="4f2", retry=retry, socket_timeout=None)
        until(lambda: refusal(client) != "away")
        yield client
    finally:
        process.terminate()
        process.wait(60)


def refusal(redis: Redis) -> str:
    """Why Redis does not answer a ping; nothing if it does."""
    try:
        redis.ping()
    except BusyLoadingError:
        return "loading"
    except ResponseError as error:
        return str(error)
    except RedisError:
        return "away"
    return ""


def port_of(redis: Redis) -> int:
    return int(redis.connection_pool.connection_kwargs["port"])


def test_the_probes_of_redis_know_one_that_serves_from_one_that_is_not_there(tmp_path: Path) -> None:
    assert set(probed(free_port()).values()) == {False}
    with redis_server(tmp_path) as redis:
        assert set(probed(port_of(redis)).values()) == {True}


@pytest.mark.slow
def test_a_redis_that_refuses_is_alive_and_not_ready(tmp_path: Path) -> None:
    expected = dict.fromkeys(READY, False) | dict.fromkeys(ALIVE, True)
    with redis_server(tmp_path / "unknown user", without="health") as redis:
        assert probed(port_of(redis)) == expected
    with redis_server(tmp_path / "full disk", bytes_of_disk=20_000) as redis:
        for _ in range(100):
            with suppress(ResponseError):
                redis.set("filling", "x" * 1000)
        assert refusal(redis).startswith("MISCONF")
        assert probed(port_of(redis)) == expected
    with redis_server(tmp_path / "long file") as redis:
        redis.eval("for i = 1, 300000 do redis.call('SET', i, i) end", 0)
    with redis_server(tmp_path / "long file", "--key-load-delay", "500") as redis:  # microseconds
        assert refusal(redis) == "loading"
        assert probed(port_of(redis)) == expected


def answers(redis: Redis) -> bool:
    try:
        return bool(redis.ping())
    except RedisError:
        return False


def test_a_sign_of_life_of_half_a_minute_ago_is_none(tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    command = container("worker")["livenessProbe"]["exec"]["command"]
    probe = [part.replace("/tmp/alive", str(alive)) for part in command]

    def healthy() -> bool:
        return subprocess.run(probe, stderr=subprocess.DEVNULL, check=False).returncode == 0

    assert not healthy()
    alive.touch()
    assert healthy()
    before = time.time() - 31
    os.utime(alive, (before, before))
    assert not healthy()


@pytest.mark.deploy
def test_hadolint_has_nothing_to_say() -> None:
    subprocess.run([tool("hadolint"), str(ROOT / "Dockerfile")], check=True)


@pytest.mark.deploy
@pytest.mark.parametrize("profile", ["cpu", "gpu"])
def test_docker_compose_reads_its_file(profile: str) -> None:
    command = [tool("docker-compose"), "config", "--format", "json"]
    environment = dict(os.environ) | PASSWORDS | {"COMPOSE_PROFILES": profile}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)

    assert set(json.loads(done.stdout)["services"]) == {"redis", "api", "worker" if profile == "gpu" else "worker-cpu"}
    without = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "see docs/deploy/env.example" in without.stderr


@pytest.mark.deploy
@pytest.mark.parametrize("version", ["1.30", "1.37"])
@pytest.mark.parametrize("folder", KUSTOMIZATIONS, ids=lambda folder: folder.name)
def test_manifests_fit_the_schemas_of_kubernetes(folder: Path, version: str, tmp_path: Path) -> None:
    made = subprocess.run([tool("kubectl"), "kustomize", str(folder)], capture_output=True, check=True).stdout
    (tmp_path / "all.yaml").write_bytes(made)
    checked = [tool("kubernetes-validate"), "-k", version, "--strict", str(tmp_path / "all.yaml")]
    done = subprocess.run(checked, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout
