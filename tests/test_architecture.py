"""What holds the layout together."""

from __future__ import annotations

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
from lrserve.api.settings_reference import page as settings_page
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


def test_every_member_of_a_family_has_an_example_that_validates() -> None:
    for family in (SCHEDULES, MODELS, DATASETS, OPTIMIZERS):
        for name, member in family.items():
            assert member.model_validate(member.example | {"type": name}).type == name


def test_the_pages_made_from_the_code_are_up_to_date() -> None:
    assert (ROOT / "docs" / "schedules.md").read_text() == reference(), "run make docs"
    assert (ROOT / "docs" / "training.md").read_text() == training_reference() + "\n", "run make docs"
    assert (ROOT / "docs" / "cli.md").read_text() == page(), "run make docs"
    assert (ROOT / "docs" / "settings.md").read_text() == settings_page(), "run make docs"
