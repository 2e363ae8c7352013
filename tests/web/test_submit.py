"""The form for a new job, from the first key to the job that was made."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import Service
from tests.factories import job_spec
from tests.web.conftest import Watch

pytestmark = pytest.mark.slow


def as_json(page: Page) -> dict[str, Any]:
    """What the form holds, by its JSON."""
    page.get_by_role("tab", name="JSON").click()
    found: dict[str, Any] = json.loads(page.get_by_role("textbox", name="JSON").input_value())
    page.get_by_role("tab", name="Form").click()
    return found


def submitted(page: Page, service: Service) -> dict[str, Any]:
    """The job that the button makes."""
    page.get_by_role("button", name=re.compile("^Submit the")).click()
    expect(page).to_have_url(re.compile("#/(jobs|experiments|range-tests)/"))
    found: dict[str, Any] = service.http.get(f"/v1/jobs/{page.url.rpartition('/')[2]}").json()
    return found


def test_a_job_is_tried_dry_and_submitted(
    page: Page, watch: Watch, service: Service, look: Callable[[str], None]
) -> None:
    watch.refusals.add(422)
    page.goto("/#/submit")
    plan = page.get_by_role("region", name="What it would do")
    expect(plan).to_contain_text("460")  # 20 epochs of 23 steps
    expect(plan.get_by_role("img", name=re.compile("at 20 points"))).to_be_visible()
    look("submit")

    epochs = page.locator(".field[data-name=epochs] input[type=text]")
    epochs.fill("2")
    expect(plan).to_contain_text("46")
    expect(plan.get_by_role("img", name=re.compile("at 2 points"))).to_be_visible()
    expect(plan.locator(".warn").first).to_be_visible()  # half a cosine that is longer than the run

    # what only the service can know: the schedule ends before the run does
    schedule = page.get_by_role("combobox", name="schedule")
    schedule.click()
    schedule.fill("OneCycleLR")
    schedule.press("Enter")
    total = page.locator("[data-name=total_steps] input[type=text]")
    total.fill("1")
    wrong = page.locator("[data-name=schedule] .error:not([hidden])").first
    expect(wrong).to_be_visible()
    expect(page.get_by_role("button", name="Submit the job")).to_be_disabled()
    total.fill("20")
    expect(wrong).to_be_hidden()

    page.get_by_label("Labels").fill("browser=form, again")
    expect(page.get_by_role("button", name="Submit the job")).to_be_enabled()
    job = submitted(page, service)
    assert job["labels"] == ["browser=form", "again"]
    assert (job["spec"]["epochs"], job["spec"]["schedule"]["total_steps"]) == (2, 20)
    assert job["spec"]["optimizer"]["momentum"] == 0.9


@pytest.mark.slowest
def test_json_is_as_good_as_the_form(page: Page, watch: Watch, service: Service) -> None:
    watch.refusals.add(422)
    page.goto("/#/submit")
    page.get_by_role("tab", name="JSON").click()
    text = page.get_by_role("textbox", name="JSON")
    text.fill("{")
    expect(page.get_by_role("alert")).to_have_text("This is not a JSON object yet.")
    text.fill(json.dumps(job_spec(epochs=0, surplus=1)))
    expect(page.get_by_role("alert").filter(has_text="surplus")).to_be_visible()
    expect(page.get_by_role("alert").filter(has_text="epochs")).to_be_visible()
    text.fill(json.dumps(job_spec(max_attempts=2)))
    expect(page.get_by_role("button", name="Submit the job")).to_be_enabled()
    job = submitted(page, service)
    assert (job["spec"]["batch_size"], job["max_attempts"]) == (64, 2)


@pytest.mark.slowest
def test_a_clone_has_all_that_the_job_had(page: Page, service: Service) -> None:
    before = service.client.submit(
        job_spec(labels=["browser=clone"], priority=3, early_stopping={"patience": 2}, interval="step", max_seconds=60)
    )
    page.goto(f"/#/jobs/{before.id}")
    page.get_by_role("button", name="Clone").click()
    expect(page.get_by_text(f"From job {before.id}")).to_be_visible()
    after = submitted(page, service)
    assert after["id"] != before.id
    assert after["spec"] == before.spec
    assert (after["labels"], after["priority"], after["max_seconds"]) == (["browser=clone"], 3, 60)


@pytest.mark.slowest
def test_a_spec_in_the_address_is_what_the_form_begins_with(page: Page) -> None:
    schedule = {"type": "WarmUp", "warmup_steps": 2, "schedule": {"type": "StepLR", "step_size": 3, "gamma": 0.5}}
    spec = {"schedule": schedule, "optimizer": {"lr": 0.25}}
    page.goto(f"/#/submit?spec={quote(json.dumps(spec))}")
    found = as_json(page)
    assert found["optimizer"]["lr"] == 0.25
    assert found["schedule"]["schedule"] == schedule["schedule"]
    page.get_by_role("radio", name="LR range test").check()
    expect(page.get_by_role("button", name="Submit the range test")).to_be_enabled()
    assert "schedule" not in as_json(page)
    page.get_by_role("radio", name="Experiment").check()
    expect(page.get_by_role("button", name="Submit the experiment")).to_be_enabled()
    assert set(as_json(page)["grid"]) == {"seed"}


def test_a_kind_that_came_after_the_page_has_a_form_by_what_the_api_lists(page: Page, service: Service) -> None:
    listed = service.http.get("/v1/kinds").json()
    training = next(each for each in listed["kinds"] if each["type"] == "training")
    later = training | {"type": "later", "summary": "Train it later."}
    page.route("**/v1/kinds", lambda route: route.fulfill(json={"kinds": [*listed["kinds"], later]}))
    page.goto("/#/submit?kind=later")
    expect(page.get_by_role("radio", name="later")).to_be_checked()
    expect(page.get_by_text("Train it later.")).to_be_visible()
    assert submitted(page, service)["spec"]["epochs"] == 20
