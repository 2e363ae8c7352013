"""Dockerfile, compose file and manifests: they fit the code and each other; by `make test-deploy`, what tools say."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from redis import Redis
from redis.exceptions import RedisError

from api.settings import ApiSettings
from cli.embedded import find_server
from cli.stack import free_port
from tests.conftest import until

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
    assert re.findall(r"^USER (.*)", (ROOT / "Dockerfile").read_text(), re.MULTILINE) == ["10001:10001"] * 2


def test_a_worker_s_health_is_asked_for_in_the_same_way_everywhere() -> None:
    [asked] = re.findall(r'CMD (\["sh".*find /tmp/alive.*\])', (ROOT / "Dockerfile").read_text())

    assert container("worker")["livenessProbe"]["exec"]["command"] == json.loads(asked)


def test_redis_is_started_with_the_same_settings_and_users_everywhere() -> None:
    assert (DEPLOY / "k8s" / "base" / "redis.acl").read_text() == (DEPLOY / "redis.acl").read_text()
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
    for old, new in (("$$", "$"), ("/etc/redis.acl", str(DEPLOY / "redis.acl")), ("/tmp", str(tmp_path))):
        script = script.replace(old, new)
    script = script.replace("exec redis-server", f"exec {find_server()} --port {port} --dir {folder} ")
    environment = dict(os.environ) | PASSWORDS
    redis = subprocess.Popen([shell, flag, script], env=environment, stdout=subprocess.DEVNULL)
    try:
        operator = Redis(port=port, username="operator", password=PASSWORDS["OPERATOR_PASSWORD"], decode_responses=True)
        until(lambda: answers(operator))
        assert operator.config_get("appendonly", "maxmemory-policy") == {
            "appendonly": "yes",
            "maxmemory-policy": "noeviction",
        }
        assert answers(Redis(port=port, username="health", password="any"))
        assert not answers(Redis(port=port))
        for user in ("api", "worker"):
            client = Redis(port=port, username=user, password=PASSWORDS[f"{user.upper()}_PASSWORD"])
            assert client.set("lrserve:job:x", "y")
        assert (tmp_path / "users.acl").stat().st_mode & 0o077 == 0
    finally:
        redis.terminate()
        assert redis.wait(20) == 0


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
