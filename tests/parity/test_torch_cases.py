"""Every case of torch's own scheduler tests, for torch's classes and for SpecLR.

That torch passes a case shows that it is written as torch's is.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.parity import torch_behaviour, torch_curves, torch_cycles  # noqa: F401  # they register their cases
from tests.parity.torch_harness import CASES, MAKERS

LIST = tomllib.loads((Path(__file__).parent / "torch_cases.toml").read_text(encoding="utf-8"))
PASSES: list[str] = LIST["passes"]
FAILS: dict[str, str] = LIST["fails"]
DOES_NOT_APPLY: dict[str, str] = LIST["does_not_apply"]


@pytest.mark.sampled(2)
@pytest.mark.filterwarnings("ignore:The epoch parameter:UserWarning")
@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("name", CASES)
def test_case(name: str, maker: str, request: pytest.FixtureRequest) -> None:
    if maker == "SpecLR" and name in FAILS:
        request.applymarker(pytest.mark.xfail(strict=True, reason=FAILS[name]))
    CASES[name](MAKERS[maker])


def test_the_list_has_each_case_of_torch_once() -> None:
    listed = [*PASSES, *FAILS, *DOES_NOT_APPLY]

    assert len(listed) == len(set(listed)) == LIST["cases"]
    assert sorted(CASES) == sorted([*PASSES, *FAILS])
    assert sorted(PASSES) == PASSES


def test_nearly_all_cases_that_apply_pass() -> None:
    applicable = len(PASSES) + len(FAILS)
    print(f"{len(PASSES)} of {applicable} cases that apply pass; {len(DOES_NOT_APPLY)} do not apply")

    assert len(PASSES) >= 155
    assert applicable >= 161
    assert all(len(reason.split()) > 3 for reason in (*FAILS.values(), *DOES_NOT_APPLY.values()))
