"""A newcomer's errands, as CONTRIBUTING.md has them: each is one new file, or a line in few tables."""

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


def edit(file: Path, *changes: tuple[str, str]) -> None:
    text = file.read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after, 1)
    file.write_text(text)


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
        from lrcore.numerics.formulas import Node, Value
        from lrcore.schedules._base import Schedule

        class Halving(Schedule):
            """lr(t) = base_lr / 2 ** t."""
            summary = "halves the rate at every step"
            formula = "base_lr / 2 ** t"
            origin = "a test"
            example = {"type": "Halving"}
            type: Literal["Halving"]

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
        code = [translate(schedule, 1.0, to).code for to in FRAMEWORKS if to != "deepspeed"]  # which takes no formula
        print(schedule.type, all("return 0.5 ** t" in each for each in code))
        """,
        checkout,
    )

    assert printed == ["[1.0, 0.5, 1.0, 0.1]", "base_lr / 2 ** t True", "Halving True"]


@pytest.mark.slowest
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


NAP_SPEC = '''
"""A job type that a test adds."""
from __future__ import annotations
from typing import ClassVar
from lrcore.jobs.job import Progress
from lrcore.jobs.job_spec import JobSpec

class NapSpec(JobSpec):
    """Do nothing for some steps."""
    kind: ClassVar[str] = "nap"
    sized_by: ClassVar[str] = "naps"
    naps: int

    @property
    def steps(self) -> int:
        return self.naps

    @property
    def images_per_step(self) -> float:
        return 0.0

    @property
    def title(self) -> str:
        return f"{self.naps} naps"

    def progress(self, step: int) -> Progress:
        return Progress(epoch=0, epochs=1, step=step, steps=self.naps, fraction=0, eta_seconds=None)
'''
NAP_ROUTE = '''
"""Routes of a job type that a test adds."""
from __future__ import annotations
from typing import Any
from fastapi import APIRouter, Depends, Request
from ..dependencies import CurrentReaper, json_body
from ..documented import DocumentedRoute
from ..requests import NapRequest
from ..responses import IdempotencyKey, JobResponse, submitted

router = APIRouter(route_class=DocumentedRoute, prefix="/v1/naps", tags=["jobs"])

@router.post(
    "", status_code=202, summary="Submit a nap", response_model=JobResponse, dependencies=[Depends(json_body)]
)
async def submit_nap(
    nap: NapRequest, request: Request, reaper: CurrentReaper, idempotency_key: IdempotencyKey = ""
) -> Any:
    """A job of kind nap."""
    return await submitted(nap, idempotency_key, request, reaper)
'''
NAP_STORY = """
from pathlib import Path
from fastapi.testclient import TestClient
from lrcore.service.settings import Settings
from lrcore.store.client import ClientStore
from lrcore.store.connection import connect
from lrcore.store.lease import LeaseStore
from lrserve import Client
from lrserve.api.app import create_app
from lrserve.api.settings import ApiSettings
from lrserve.client.transport import Patience, SyncTransport
from lrserve.worker.runner import Runner
with TestClient(create_app(ApiSettings(auth=False, redis_url=URL)), "http://127.0.0.1") as http:
    client = Client("http://127.0.0.1")
    client._transport = SyncTransport(http, Patience())
    print([kind.type for kind in client.kinds()])
    job = client.submit({"naps": 3, "labels": ["tired"]})
    redis = connect(URL)
    Runner(LeaseStore(redis), ClientStore(redis), Settings(home=Path("home")), "a").answer("default")
    done = client.job(job.id)
    print(done.kind, done.title, done.labels, done.state, done.result)
    print(client.job(client.clone(job.id, {"naps": 4}).id).title)
"""


@pytest.mark.slowest
@pytest.mark.slow
def test_a_new_job_type_is_a_line_in_three_tables(checkout: Path, any_redis: str) -> None:
    add(checkout, "lrcore/jobs/nap.py", NAP_SPEC)
    add(checkout, "lrserve/api/routes/naps.py", NAP_ROUTE)
    edit(
        checkout / "lrcore/jobs/job_types.py",
        ("import JobSpec\n", "import JobSpec\nfrom lrcore.jobs.nap import NapSpec\n"),
        ("ExperimentSpec, ShardSpec)", "ExperimentSpec, ShardSpec, NapSpec)"),
    )
    edit(
        checkout / "lrserve/worker/executors.py",
        ("import JobSpec\n", "import JobSpec\nfrom lrcore.jobs.nap import NapSpec\n"),
        (
            "    TrainingSpec: Executor(_training),\n",
            "    TrainingSpec: Executor(_training),\n"
            "    NapSpec: Executor(lambda spec, job_id, **how: FinishedJob(None, result='{\"rested\": true}')),\n",
        ),
    )
    edit(
        checkout / "lrserve/api/requests.py",
        ("import JobSpec\n", "import JobSpec\nfrom lrcore.jobs.nap import NapSpec\n"),
        (
            "@dataclass(frozen=True)\nclass JobType",
            "class NapRequest(JobSubmission, JobOptions, NapSpec):\n"
            "    @property\n    def spec(self) -> NapSpec:\n"
            "        return NapSpec.model_construct(**self._of(NapSpec))\n\n\n"
            "@dataclass(frozen=True)\nclass JobType",
        ),
        (
            'JobType(RangeTestRequest, "/v1/lr-range-tests"),\n',
            'JobType(RangeTestRequest, "/v1/lr-range-tests"),\n    NapSpec.kind: JobType(NapRequest, "/v1/naps"),\n',
        ),
    )

    printed = python(NAP_STORY.replace("URL", repr(any_redis)), checkout)

    assert printed == [
        "['training', 'lr_range_test', 'nap', 'experiment']",
        "nap 3 naps ['tired'] succeeded {'rested': True}",
        "4 naps",
    ]
