"""What holds the layout together."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

from lrcore.datasets import DATASETS
from lrcore.jobs.__main__ import reference as training_reference
from lrcore.models import MODELS
from lrcore.optimizers import OPTIMIZERS
from lrcore.schedules import SCHEDULES
from lrcore.schedules.__main__ import reference
from lrserve.reference import page

ROOT = Path(__file__).parent.parent


def python(code: str, cwd: Path = ROOT) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, cwd=cwd, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_api_needs_neither_torch_nor_a_data_set_library() -> None:
    python(
        """
        import sys
        for name in ("torch", "torchvision", "sklearn", "safetensors"):
            sys.modules[name] = None
        from lrcore.schedules import SCHEDULES
        from lrserve.api.app import create_app
        create_app().openapi()
        """
    )


def test_the_engine_needs_neither_queue_nor_store() -> None:
    python(
        """
        import sys
        for name in ("celery", "kombu", "redis", "pydantic_settings", "fastapi", "uvicorn", "httpx"):
            sys.modules[name] = None
        import lrserve.worker.engine, lrserve.worker.engine.__main__
        """
    )


def test_a_new_schedule_is_one_file(tmp_path: Path) -> None:
    for package in ("lrcore", "lrserve"):
        shutil.copytree(ROOT / package, tmp_path / package)
    (tmp_path / "lrcore" / "schedules" / "halving.py").write_text(
        textwrap.dedent(
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
            '''
        )
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
        cwd=tmp_path,
    )

    assert printed.splitlines() == ["[1.0, 0.5, 1.0, 0.1]", "base_lr / 2 ** t True", "Halving True"]


def test_every_member_of_a_family_has_an_example_that_validates() -> None:
    for family in (SCHEDULES, MODELS, DATASETS, OPTIMIZERS):
        for name, member in family.items():
            assert member.model_validate(member.example | {"type": name}).type == name


def test_the_pages_made_from_the_code_are_up_to_date() -> None:
    assert (ROOT / "docs" / "schedules.md").read_text() == reference(), "run make docs"
    assert (ROOT / "docs" / "training.md").read_text() == training_reference() + "\n", "run make docs"
    assert (ROOT / "docs" / "cli.md").read_text() == page(), "run make docs"
