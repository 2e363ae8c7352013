"""No request can name code: what is not in the catalogue is refused by its name, and nothing is imported for it."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lrcore import plugins
from lrcore.curve import CurveRequest
from lrcore.errors import CurveError
from lrcore.families import FAMILIES
from lrcore.jobs.experiment import ExperimentSpec
from lrcore.jobs.training_spec import TrainingSpec
from tests.conftest import Service, running_service
from tests.examples import SHARE
from tests.factories import job_spec
from tests.plugins.installed import install, python

# A module on the API's path that shows that it was imported, and a distribution that nobody has named
MODULE = "tripwire_module"
ENTRY = {"lrserve.schedules": {"tripwire": MODULE}}
NAMES = (
    *(MODULE, f"{MODULE}:Flat", f"{MODULE}.Flat", f"{MODULE}:Flat.build", f"lrserve.schedules:{MODULE}"),
    *("tripwire", "tripwire:Flat", "tripwire:", ":Flat", "tripwire==1.0", "tripwire:Flat==1.0", "example:HalfLife"),
    *("os.system", "os:system", "builtins.eval", "__import__", f"__import__('{MODULE}')", "torch.optim.SGD"),
    *("lrcore.schedules.step.StepLR", "lrcore.schedules.step:StepLR", "schedules.StepLR", "StepLR:StepLR"),
    *(f"file:///{MODULE}.py", f"./{MODULE}.py", f"../{MODULE}", f"{MODULE}\x00", f"\n{MODULE}", "StepLR\x00"),
    *("StepLR,tripwire==1.0", "default,tripwire==1.0", "torchvision:tripwire", "tripwire\u200b:Flat", "TRIPWIRE:flat"),
)
KEYS = ("_target_", "__class__", "py/object", "!!python/object", "import", "module", "entry_point", "plugins", "vendor")
PARTS = ("schedule", "model", "dataset", "optimizer")
NEW = ("lrcore.", "pydantic", "encodings.")  # what reading a request may import


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that is there once the module has been imported."""
    return tmp_path_factory.mktemp("tripwire") / "imported"


@pytest.fixture(scope="module")
def wired(imported: Path) -> Iterator[Service]:
    """An API that has the tripwire installed, and does not name it."""
    assert plugins.load() == ()
    text = f"open({str(imported)!r}, 'w').close()"
    environment = install(imported.parent, "tripwire", "1.0", ENTRY, **{MODULE: text})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", environment["PYTHONPATH"])
        with running_service(imported.parent / "home", workers=0) as service:
            yield service


def requests(name: str, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every place of a name, and of a key with it."""
    job = job_spec(schedule={"type": "StepLR", "step_size": 1})
    for part in PARTS:
        yield "/v1/jobs", job | {part: {"type": name}}
        yield "/v1/jobs", job | {part: job[part] | {key: name}}
        yield "/v1/jobs", job | {part: {key: name}}
        yield "/v1/jobs", job | {part: name}
    yield "/v1/jobs", job | {key: name}
    yield "/v1/experiments", {"base": job, "grid": {"schedule": [{"type": name}, None]}}
    yield "/v1/experiments", {"base": job, "grid": {key: [name, 1]}}
    unscheduled = {field: value for field, value in job.items() if field not in ("schedule", "epochs")}
    yield "/v1/lr-range-tests", unscheduled | {"model": {"type": name}}
    curve = {"base_lr": 1, "steps": 2}
    for schedule in (
        {"type": name},
        {key: name},
        {"type": "StepLR", "step_size": 1, key: name},
        {"type": "Repeat", "period": 2, "schedule": {"type": name}},
        {"type": "ChainedScheduler", "schedulers": [{"type": name}]},
    ):
        yield "/v1/curves", curve | {"schedule": schedule}
        yield "/v1/schedules/translate", {"base_lr": 1, "to": "torch", "schedule": schedule}


@pytest.mark.slow
@pytest.mark.drawn
def test_a_name_that_is_in_no_catalogue_is_refused_and_imports_nothing(wired: Service, imported: Path) -> None:
    drawn = random.Random(0)
    accepted = []
    for i, name in enumerate(NAMES):
        for path, body in islice(requests(name, drawn.choice(KEYS)), i % SHARE, None, SHARE):
            answer = wired.http.post(path, json=body)
            if answer.status_code != 422 or not answer.json()["errors"]:
                accepted.append((path, body, answer.status_code, answer.text[:300]))
        for family in ("schedules", "models", "datasets", "optimizers"):
            assert wired.http.get(f"/v1/{family}/{quote(name, safe='')}").status_code == 404
    assert accepted == []
    assert not imported.exists()


def test_the_tripwire_works(wired: Service, imported: Path) -> None:
    python(f"import {MODULE}", {"PYTHONPATH": str(imported.parent)})

    assert imported.exists()
    imported.unlink()


TEXT = st.one_of(
    st.sampled_from(NAMES),
    st.from_regex(r"[A-Za-z_]{1,12}([.:/=][A-Za-z_]{1,12}){1,3}", fullmatch=True),
    st.sampled_from(sorted(sys.stdlib_module_names)),
    st.text(min_size=1, max_size=30).filter(lambda text: not any(text in family for family in FAMILIES.values())),
)
SPECS: dict[str, Any] = {"/v1/jobs": TrainingSpec, "/v1/curves": CurveRequest, "/v1/experiments": ExperimentSpec}


@settings(deadline=None)  # the first call builds every schema
@given(name=TEXT, key=st.sampled_from(KEYS))
def test_no_text_in_the_place_of_a_type_is_imported(name: str, key: str) -> None:
    before = set(sys.modules)
    for path, body in requests(name, key):
        if path in SPECS:
            with pytest.raises((ValidationError, CurveError)):
                SPECS[path].model_validate(body).check()
    assert {module for module in set(sys.modules) - before if not module.startswith(NEW)} == set()
