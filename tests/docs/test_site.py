"""The pages of the site that are made from the code; `make docs` builds the site itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.hooks import http_pages, schedule_pages
from lrcore.schedules import SCHEDULES
from lrserve.api.app import create_app
from tests.docs.commands import ROOT, blocks, commands
from tests.docs.test_commands import Stage, stage  # noqa: F401  # a fixture
from tests.examples import SHARE


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return {schedule_pages.address(schedule): schedule_pages.page(schedule) for schedule in SCHEDULES.values()}


def test_every_schedule_has_a_page_of_its_own(pages: dict[str, str]) -> None:
    assert len({address.lower() for address in pages}) == len(SCHEDULES)
    for schedule in SCHEDULES.values():
        text = pages[schedule_pages.address(schedule)]
        assert schedule.formula in text
        assert all(f"`{name}`" in text for name in schedule.model_fields if name != "type")


@pytest.mark.slow
@pytest.mark.drawn
def test_the_commands_of_all_schedules_work(pages: dict[str, str], stage: Stage) -> None:  # noqa: F811
    made = [block for text in pages.values() for block in blocks(ROOT / "docs/index.md", text)]
    found = [command.text for block in made if block.language == "sh" for command in commands(block)]
    assert len(found) > 100
    some = found[:: SHARE | 1]  # an odd distance: those of a picture alternate with others
    script = [f"{stage.placed(text)} > /dev/null || {{ echo command {i} >&2; exit 1; }}" for i, text in enumerate(some)]
    stage.run("\n".join(script))


@pytest.mark.parametrize("name", ["StepLR", "OneCycleLR", "ReduceLROnPlateau", "greedy"])
def test_a_picture_is_the_one_that_the_service_draws(name: str) -> None:
    for draw in (schedule_pages.picture, schedule_pages.thumbnail):
        assert b"<svg" in draw(SCHEDULES[name])
        assert draw(SCHEDULES[name]) == draw(SCHEDULES[name])


@pytest.mark.filterwarnings("ignore::pydantic.warnings.UnsupportedFieldAttributeWarning")
def test_every_operation_is_in_the_http_reference() -> None:
    text = "\n".join(http_pages.Reference().pages().values())
    for path, operations in create_app().openapi()["paths"].items():
        for method in operations:
            assert f"```http\n{method.upper()} {path}\n```" in text
    for anchor in re.findall(r"\]\(#(\w+)\)", text):
        assert re.search(rf"^### {anchor}$", text, re.MULTILINE | re.IGNORECASE), anchor


def test_the_navigation_names_pages_that_are_there() -> None:
    generated = {
        "examples.md",
        "results.md",
        "changelog.md",
        "policy.md",
        "contributing.md",
        "zh.md",
        "http/index.md",
    }
    for page in re.findall(r"[\w/]+\.md$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE):
        assert page in generated | {"zh.md"} or (Path(ROOT / "docs") / page).exists(), page
