"""The Helm chart: it makes what the manifests make, and refuses values that it does not know."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from lrcore import __version__
from tests.deploy.test_files import DEPLOY, documents, tool

CHART = DEPLOY / "helm" / "lrserve"
EVERYTHING = [
    *("keda.enabled=true", "ingress.enabled=true", "settings.LRSERVE_RETENTION_DAYS=7", "settingsSecret=lrserve-s3"),
    *("home.storageClass=nfs", "redis.storageClass=ssd", "image.registry=registry.example.com/ml/"),
]
LITTLE = [
    *("redis.enabled=false", "worker.gpus=0", "worker.replicas=3", "networkPolicy=false"),
    "home.existingClaim=mine",
]
MARKS = re.compile(r"helm\.sh/|checksum/|app\.kubernetes\.io/managed-by")
Manifest = dict[str, Any]


def rendered(*values: str) -> subprocess.CompletedProcess[str]:
    settings = [part for value in values for part in ("--set-string" if "settings." in value else "--set", value)]
    command = [tool("helm"), "template", "lrserve", str(CHART), "--namespace", "lrserve", *settings]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def objects(text: str) -> dict[tuple[str, str], Manifest]:
    """Manifests by kind and name, without what one of the tools alone writes: namespace, its marks, names by hash."""
    found = {}
    for each in yaml.safe_load_all(re.sub(r"\bredis-acl-\w{10}\b", "redis-acl", text)):
        for meta in (each["metadata"], each["spec"].get("template", {}).get("metadata", {}) if "spec" in each else {}):
            meta.pop("namespace", None)
            for marks in ("labels", "annotations"):
                meta[marks] = {name: value for name, value in meta.get(marks, {}).items() if not MARKS.match(name)}
        found[each["kind"], each["metadata"]["name"]] = each
    return found


def kustomized(folder: str) -> dict[tuple[str, str], Manifest]:
    command = [tool("kubectl"), "kustomize", str(DEPLOY / "k8s" / folder)]
    return objects(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def made(*values: str) -> dict[tuple[str, str], Manifest]:
    done = rendered(*values)
    assert done.returncode == 0, done.stderr
    return objects(done.stdout)


def test_the_chart_s_images_are_those_of_this_version() -> None:
    [chart] = documents(CHART / "Chart.yaml")
    assert chart["appVersion"] == __version__


@pytest.mark.deploy
def test_helm_s_own_linter_has_nothing_to_say() -> None:
    done = subprocess.run([tool("helm"), "lint", "--strict", str(CHART)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.deploy
def test_without_values_the_chart_makes_what_the_manifests_make() -> None:
    manifests = kustomized("base")
    del manifests["Namespace", "lrserve"]  # helm makes none but on request
    assert made() == manifests


@pytest.mark.deploy
def test_its_scaled_object_and_ingress_are_those_of_the_examples() -> None:
    chart = made(*EVERYTHING)
    for kind, example in {"ScaledObject": "gpu-keda", "Ingress": "ingress"}.items():
        [(key, expected)] = [each for each in kustomized(f"examples/{example}").items() if each[0][0] == kind]
        assert chart[key]["spec"] == expected["spec"]


@pytest.mark.deploy
def test_without_a_gpu_a_redis_and_policies_there_is_no_trace_of_them() -> None:
    chart = made(*LITTLE)
    pod = chart["Deployment", "worker"]["spec"]["template"]["spec"]

    assert {kind for kind, _ in chart} == {"Service", "Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget"}
    assert "tolerations" not in pod
    assert pod["containers"][0]["resources"]["limits"] == {"memory": "16Gi"}
    assert chart["Deployment", "worker"]["spec"]["replicas"] == 3
    assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == "mine"


@pytest.mark.deploy
@pytest.mark.parametrize("version", ["1.30", "1.37"])
@pytest.mark.parametrize("values", [EVERYTHING, LITTLE], ids=["everything", "little"])
def test_what_it_makes_fits_the_schemas_of_kubernetes(values: list[str], version: str, tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(rendered(*values).stdout)
    checked = [tool("kubernetes-validate"), "-k", version, "--strict", str(tmp_path / "all.yaml")]
    done = subprocess.run(checked, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


@pytest.mark.deploy
@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("worker.gpu=1", "/worker"),
        ("worker.gpus=2", "/worker/gpus"),
        ("api.readiness=/ready", "/api/readiness"),
        ("redis.memory=lots", "/redis/memory"),
        ("settings.RETENTION_DAYS=7", "RETENTION_DAYS"),
        ("image.registry=registry.example.com", "/image/registry"),
    ],
)
def test_values_that_it_does_not_know_are_refused_by_name(value: str, named: str) -> None:
    done = rendered(value)

    assert done.returncode != 0
    assert named in done.stderr
