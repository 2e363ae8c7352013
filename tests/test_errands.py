"""A newcomer's errands, as CONTRIBUTING.md has them: each is one new file, and everything else finds it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The packages to add a file to."""
    for package in ("lrcore", "lrserve"):
        shutil.copytree(ROOT / package, tmp_path / package)
    return tmp_path


def add(checkout: Path, name: str, text: str) -> None:
    (checkout / name).write_text(textwrap.dedent(text))


def python(code: str, checkout: Path) -> list[str]:
    """The lines that a fresh interpreter prints."""
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=checkout, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_new_schedule_is_one_file(checkout: Path) -> None:
    add(
        checkout,
        "lrcore/schedules/halving.py",
        '''
        """A schedule that a test adds."""
        from __future__ import annotations
        from typing import Literal
        from lrcore import grid
        from lrcore.formulas import Node, Value
        from lrcore.grid import Extent, Grid
        from lrcore.schedules._base import Rates, Schedule

        class Halving(Schedule):
            """lr(t) = base_lr / 2 ** t."""
            summary = "halves the rate at every step"
            formula = "base_lr / 2 ** t"
            origin = "a test"
            example = {"type": "Halving"}
            type: Literal["Halving"]

            def fill(self, out: Rates, t: Grid, base_lr: float, group: int) -> Extent:
                return grid.powers(out, t, 0.5, scale=base_lr)

            def formula_at(self, t: Node, base_lr: float) -> Value:
                return base_lr * 0.5**t
        ''',
    )

    printed = python(
        """
        from lrcore.curve import CurveRequest, sample
        from lrcore.dialects import FRAMEWORKS, translate
        from lrcore.family import describe
        from lrcore.jobs.training_spec import TrainingSpec
        from lrcore.schedules import SCHEDULES
        from lrserve.api.app import create_app
        nested = {"type": "SequentialLR", "milestones": [2],
                  "schedulers": [{"type": "Halving"}, {"type": "StepLR", "step_size": 1}]}
        print(sample(CurveRequest.model_validate({"schedule": nested, "base_lr": 1.0, "steps": 4})).lr[0].tolist())
        print(describe(SCHEDULES["Halving"])["formula"], "Halving" in create_app().openapi()["components"]["schemas"])
        job = {"model": {"type": "lenet"}, "dataset": {"type": "digits"}, "epochs": 2, "schedule": nested}
        schedule = TrainingSpec.model_validate(job).schedule.schedulers[0]
        print(schedule.type, all("return 0.5 ** t" in translate(schedule, 1.0, to).code for to in FRAMEWORKS))
        """,
        checkout,
    )

    assert printed == ["[1.0, 0.5, 1.0, 0.1]", "base_lr / 2 ** t True", "Halving True"]


def test_a_new_model_is_one_file(checkout: Path) -> None:
    add(
        checkout,
        "lrcore/models/average.py",
        '''
        """A model that a test adds."""
        from __future__ import annotations
        from typing import TYPE_CHECKING, Literal
        from lrcore.models._base import ImageShape, Model
        if TYPE_CHECKING:
            from torch import nn

        class Average(Model):
            """A linear layer over the mean of each channel."""
            summary = "a linear layer over the mean of each channel"
            origin = "a test"
            example = {"type": "average"}
            type: Literal["average"]

            def build(self, image_shape: ImageShape, num_classes: int) -> nn.Module:
                from torch import nn
                return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(image_shape[0], num_classes))
        ''',
    )

    printed = python(
        """
        from pathlib import Path
        from lrcore.jobs.training_spec import TrainingSpec
        from lrcore.models import MODELS
        from lrserve.api.app import create_app
        from lrserve.worker.engine import train
        print("average" in MODELS, "Average" in create_app().openapi()["components"]["schemas"])
        job = {"model": {"type": "average"}, "dataset": {"type": "digits"}, "epochs": 2}
        print(len(train(TrainingSpec.model_validate(job), data_root=Path("data")).epochs))
        """,
        checkout,
    )

    assert printed == ["True True", "2"]


def test_a_new_route_is_one_file(checkout: Path) -> None:
    add(
        checkout,
        "lrserve/api/routes/echo.py",
        '''
        """A route that a test adds."""
        from __future__ import annotations
        from fastapi import APIRouter
        from pydantic import BaseModel
        from ..dependencies import CurrentJob
        from ..documented import DocumentedRoute

        router = APIRouter(route_class=DocumentedRoute, prefix="/v1/echo", tags=["jobs"])

        class Echo(BaseModel):
            """What was said."""
            text: str

        @router.get("", summary="Say it again")
        def echo(text: str) -> Echo:
            """Word by word."""
            return Echo(text=text)

        @router.get("/{job_id}", summary="Say a job's title")
        def echo_job(job: CurrentJob) -> Echo:
            """Word by word."""
            return Echo(text=job.title)
        ''',
    )

    printed = python(
        """
        from fastapi.testclient import TestClient
        from lrserve.api.app import create_app
        from lrserve.api.settings import ApiSettings
        app = create_app(ApiSettings(auth=False))
        client = TestClient(app, base_url="http://127.0.0.1")
        print(client.get("/v1/echo?text=hello").json(), client.get("/v1/echo?text=hello&loud=1").status_code)
        print(sorted(app.openapi()["paths"]["/v1/echo/{job_id}"]["get"]["responses"]))
        """,
        checkout,
    )

    assert printed == ["{'text': 'hello'} 422", "['200', '401', '403', '404', '421', '422', '429', '503']"]
