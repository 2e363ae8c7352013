"""Every framework's configurations, against the rates that the framework itself makes of them."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lrcore.configs import FRAMEWORKS, Reading, guess, options_of, read
from lrcore.curve import CurveRequest, sample

Json = dict[str, Any]
FILES = sorted((Path(__file__).parent / "vectors").glob("*.toml"))
VECTORS = [
    pytest.param(path.stem, vector, id=f"{path.stem}-{i}-{vector['source']}")
    for path in FILES
    for i, vector in enumerate(tomllib.loads(path.read_text())["vectors"])
]
GIVEN = ("base_lr", "total_steps", "steps_per_epoch")


def rates(found: Reading, steps: list[int]) -> Any:
    request = {"schedule": found.schedule, "base_lr": found.base_lr, "steps": steps[-1] + 1}
    return sample(CurveRequest.model_validate(request)).lr[0][steps]


@pytest.mark.parametrize(("framework", "vector"), VECTORS)
def test_a_configuration_reads_to_the_framework_s_own_curve(framework: Any, vector: Json) -> None:
    found = read(framework, json.loads(vector["config"]), **{name: vector[name] for name in GIVEN if name in vector})

    expected = np.array(vector["rates"])
    assert found.interval == vector.get("interval", "step")
    np.testing.assert_allclose(
        rates(found, vector["steps"]), expected, rtol=0, atol=vector.get("tolerance", 1e-9) * expected.max()
    )


@pytest.mark.parametrize(("framework", "vector"), VECTORS)
def test_whose_configuration_it_is_can_be_told(framework: str, vector: Json) -> None:
    config = options_of(json.loads(vector["config"]))

    assert guess(config) == (framework, ())
    assert guess({"scheduler_of_mine": config, "seed": 3}) == (framework, ("scheduler_of_mine",))


def test_every_framework_has_vectors() -> None:
    assert [path.stem for path in FILES] == sorted(FRAMEWORKS)
