"""Configurations of public projects, and the rates that their authors meant."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from lrcore.configs import guess, options_of, read
from tests.lrcore.configs.test_vectors import GIVEN, rates

REAL = tomllib.loads((Path(__file__).parent / "real.toml").read_text())["configurations"]


@pytest.mark.parametrize("real", REAL, ids=[f"{i}-{real['from']}" for i, real in enumerate(REAL)])
def test_a_real_configuration_has_the_rates_that_its_authors_meant(real: Any) -> None:
    config = json.loads(real["config"])
    found = read(real["from"], config, **{name: real[name] for name in GIVEN if name in real})

    at = sorted(map(int, real["rates"]))
    assert found.facts["steps"] == real["steps"]
    assert rates(found, at).tolist() == pytest.approx([real["rates"][str(step)] for step in at], rel=1e-9)
    if "peak" in real and found.facts["steps"] <= 100_000:
        assert found.facts["max"] == pytest.approx(real["peak"], rel=1e-9)
    assert guess(options_of(config)) == (real["from"], ())
