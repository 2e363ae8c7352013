"""What a plug-in adds, on the pages of a service that has loaded it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Page, expect

from lrcore import plugins
from tests.conftest import Service, running_service
from tests.plugins.installed import PROJECT, install_example
from tests.web.test_schedules import drawn, open_, requests
from tests.web.test_submit import submitted

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    assert plugins.load() == ()  # of this process
    folder = tmp_path_factory.mktemp("plugins")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", install_example(folder)["PYTHONPATH"])
        with running_service(folder / "home", workers=0, plugins=PROJECT["name"]) as running:
            yield running


@pytest.mark.slowest
def test_its_members_have_forms_and_a_curve_and_make_a_job(page: Page, http: httpx.Client, service: Service) -> None:
    half = {"name": "half", "schedule": {"type": "example:HalfLife", "half_life": 10}, "base_lr": 0.1}
    open_(page, half)
    drawn(page, http, "half", {"schedule": half["schedule"], "base_lr": 0.1, "steps": 100})
    page.get_by_role("textbox", name="half_life").fill("20%")
    drawn(page, http, "half", requests(page))
    assert requests(page)["schedule"] == {"type": "example:HalfLife", "half_life": "20%"}

    page.goto("/#/submit")
    for name, value in (("model", "example:conv"), ("dataset", "example:stripes"), ("schedule", "example:HalfLife")):
        chosen = page.get_by_role("combobox", name=name, exact=True)
        chosen.click()
        chosen.fill(value)
        chosen.press("Enter")
    expect(page.locator("[data-name=channels] input[type=text]")).to_be_visible()
    job = submitted(page, service)
    types = [job["spec"][name]["type"] for name in ("model", "dataset", "schedule")]
    assert types == ["example:conv", "example:stripes", "example:HalfLife"]
    assert job["plugins"] == {"lrserve-example": "1.0.0"}
