"""A client that a generator makes of the OpenAPI document, used as somebody's program would use it."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from tests.conftest import Service
from tests.factories import job_spec

GENERATOR = Path(sys.prefix).parent / ".venv-tools" / "bin" / "openapi-python-client"

pytestmark = pytest.mark.generated


@pytest.fixture(scope="module")
def generated(service: Service, tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The package, imported."""
    folder = tmp_path_factory.mktemp("generated")
    document, config = folder / "openapi.json", folder / "config.yaml"
    document.write_text(service.http.get("/openapi.json").raise_for_status().text)
    binary = {name: "application/octet-stream" for name in ("image/png", "image/svg+xml")}
    config.write_text(yaml.safe_dump({"content_type_overrides": binary, "post_hooks": []}))
    made = subprocess.run(
        [GENERATOR, "generate", "--path", document, "--config", config, "--meta", "none",
         "--output-path", folder / "lrserve_generated", "--fail-on-warning"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stdout + made.stderr
    sys.path.insert(0, str(folder))
    return importlib.import_module("lrserve_generated")


def call(name: str) -> Any:
    """The module of an operation, wherever its tag has put it."""
    api = Path(sys.modules["lrserve_generated"].__file__ or "").parent / "api"
    (file,) = api.glob(f"*/{name}.py")
    return importlib.import_module(f"lrserve_generated.api.{file.parent.name}.{name}")


def test_it_fetches_a_curve_and_submits_a_job(generated: ModuleType, service: Service) -> None:
    models = importlib.import_module("lrserve_generated.models")
    asked = {"schedule": {"type": "StepLR", "step_size": 5, "gamma": 0.5}, "base_lr": 0.1, "steps": 6}

    with generated.Client(base_url=service.url) as client:
        curve = call("compute_curve").sync(client=client, body=models.CurveRequest.from_dict(asked))
        job = call("submit_job").sync(client=client, body=models.JobRequest.from_dict(job_spec()))
        service.ended(job.id)
        ended = call("get_job").sync(job.id, client=client)
        metrics = call("get_job_metrics").sync(job.id, client=client)
        listed = call("list_jobs").sync(client=client, state=models.State.SUCCEEDED)
        wrong = json.loads(json.dumps(asked)) | {"steps": 0}
        refused = call("compute_curve").sync(client=client, body=models.CurveRequest.from_dict(wrong))

    assert curve.lr == [0.1] * 5 + [0.05]
    assert ended.state == "succeeded"
    assert len(metrics.epochs) == 3
    assert job.id in [each.id for each in listed.jobs]
    assert isinstance(refused, models.Problem)
    assert refused.errors[0].loc == ["body", "steps"]
