"""Code written for DeepSpeed, MMEngine and Composer, against the rates that these frameworks draw with it.

The rates are recorded, since the frameworks are not installed with the tests. Where one is, the code is run as well.
"""

from __future__ import annotations

import json
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lrcore.dialects import translate
from tests.campaign.trainers import drawn
from tests.lrcore.strategies import parse, rates

Recorded = dict[str, Any]
FILE = Path(__file__).with_name("written_vectors.toml")
RECORDED: list[Recorded] = tomllib.loads(FILE.read_text())["written"]


@pytest.fixture(params=RECORDED, ids=lambda each: f"{each['framework']}-{each['spec'][:60]}")
def recorded(request: pytest.FixtureRequest) -> Recorded:
    found: Recorded = request.param
    return found


def test_the_code_is_the_one_whose_rates_are_recorded(recorded: Recorded) -> None:
    found = translate(parse(json.loads(recorded["spec"])), recorded["base_lr"], recorded["framework"])

    assert found.code == recorded["code"]
    assert found.exact is recorded["exact"]
    assert found.exact or found.notes


def test_what_is_called_exact_is_what_the_framework_draws(recorded: Recorded) -> None:
    steps = np.array(recorded["steps"])

    ours = rates(parse(json.loads(recorded["spec"])), np.arange(steps[-1] + 1), recorded["base_lr"])[steps]

    same = np.allclose(recorded["rates"], ours, rtol=0, atol=1e-9 * ours.max())
    assert same or not recorded["exact"]


@pytest.mark.filterwarnings("ignore")  # theirs
def test_the_framework_draws_what_is_recorded(recorded: Recorded) -> None:
    if find_spec(recorded["framework"]) is None:
        pytest.skip(f"{recorded['framework']} is not installed")
    steps = np.array(recorded["steps"])

    found = drawn(recorded["framework"], recorded["code"], steps[-1] + 1, recorded["base_lr"])[steps]

    np.testing.assert_allclose(found, recorded["rates"], rtol=1e-12)
