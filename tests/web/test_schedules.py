"""The view of schedules, clicked through. What is drawn is held against what the API answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs

import httpx
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from lrcore.schedules import SCHEDULES
from tests.web.conftest import Watch, accessible, waits
from tests.web.curves import COSINE, DRAWN, PLATEAU, STEP, address, drawn, open_, requests


def test_a_schedule_is_seen_with_its_facts_and_what_to_copy(
    page: Page, http: httpx.Client, look: Callable[[str], None]
) -> None:
    page.goto("/")
    request = {"schedule": {"type": "OneCycleLR", "max_lr": 0.1, "total_steps": 100}, "base_lr": 0.1, "steps": 100}
    drawn(page, http, "OneCycleLR", request)
    assert requests(page) == request
    facts = page.get_by_role("row").filter(has_text="OneCycleLR")
    expect(facts).to_contain_text("0.004")
    assert page.locator(".chart").get_attribute("aria-label") == (
        "Learning rate over 100 steps: OneCycleLR, CosineAnnealingLR"
    )
    look("schedules")


def test_a_slider_and_its_number_move_the_curve(page: Page, http: httpx.Client) -> None:
    open_(page, STEP)
    slider = page.get_by_role("slider", name="gamma")
    slider.press("End")
    assert requests(page)["schedule"]["gamma"] == 1
    slider.press("PageDown")
    request = requests(page)
    assert 0.8 < request["schedule"]["gamma"] < 1
    drawn(page, http, "steps down", request)

    number = page.get_by_role("textbox", name="gamma")
    assert float(number.input_value()) == request["schedule"]["gamma"]
    number.fill("0.25")
    drawn(page, http, "steps down", requests(page) | {"schedule": STEP["schedule"] | {"gamma": 0.25}})
    assert slider.input_value() == "250"
    page.get_by_role("textbox", name="step_size").fill("10%")
    drawn(page, http, "steps down", requests(page))
    assert requests(page)["schedule"]["step_size"] == "10%"
    page.get_by_role("textbox", name="base_lr").fill("3e-4")
    assert requests(page)["base_lr"] == 3e-4
    drawn(page, http, "steps down", requests(page))
    page.get_by_role("textbox", name="steps", exact=True).fill("50")
    drawn(page, http, "steps down", requests(page))
    assert requests(page)["steps"] == 50


@pytest.mark.slowest
def test_a_long_run_is_drawn_at_evenly_spaced_steps_and_copied_whole(page: Page, http: httpx.Client) -> None:
    open_(page, COSINE, steps=1_000_000)
    sampled = {"schedule": COSINE["schedule"], "base_lr": 0.2, "stride": 1000, "steps": 1000, "total_steps": 1_000_000}
    drawn(page, http, "cosine", sampled)
    assert requests(page)["steps"] == 1_000_000


@pytest.mark.slowest
def test_any_schedule_is_found_by_what_is_typed_and_made_to_fit_the_run(page: Page, http: httpx.Client) -> None:
    open_(page, STEP)
    picker = page.get_by_role("combobox", name="Schedule")
    picker.click()
    found = page.get_by_role("listbox").get_by_role("option")
    expect(found).to_have_count(len(SCHEDULES))
    picker.fill("warm restarts")
    expect(found.first).to_contain_text("CosineAnnealingWarmRestarts")
    picker.fill("no such thing")
    expect(found).to_have_text("Nothing found")
    picker.press("Escape")
    expect(picker).to_have_value("StepLR")
    picker.fill("onecyclelr")
    accessible(page)
    picker.press("Enter")
    expect(page.get_by_role("textbox", name="max_lr")).to_be_visible()
    expect(picker).to_be_focused()
    request = requests(page)
    assert request["schedule"] == {"type": "OneCycleLR", "max_lr": 0.1, "total_steps": 100}  # 20 in the example
    drawn(page, http, "steps down", request)


@pytest.mark.slowest
def test_curves_are_added_named_hidden_and_removed(page: Page, http: httpx.Client) -> None:
    open_(page, STEP)
    page.get_by_role("button", name="Add a curve").first.click()
    expect(page.get_by_role("radio")).to_have_count(2)
    page.get_by_role("textbox", name="Name").fill("other")
    drawn(page, http, "other", requests(page))
    drawn(page, http, "steps down", {"schedule": STEP["schedule"], "base_lr": 0.1, "steps": 100})
    page.get_by_role("textbox", name="Name").fill("steps down")  # the first one's
    expect(page.get_by_role("textbox", name="Name")).to_have_attribute("aria-invalid", "true")
    page.get_by_role("button", name="Duplicate").click()
    expect(page.get_by_role("radio")).to_have_count(3)
    assert {each["name"] for each in page.evaluate(DRAWN)} >= {"steps down", "other"}

    page.get_by_role("button", name="steps down shown").click()
    waits(page, f"!({DRAWN})().some((each) => each.name === 'steps down')")
    expect(page.get_by_role("button", name="steps down shown")).to_have_attribute("aria-pressed", "false")
    page.get_by_role("button", name="steps down shown").press("Enter")
    waits(page, f"({DRAWN})().some((each) => each.name === 'steps down')")
    for _ in range(3):
        page.get_by_role("button", name="Remove").first.click()
    expect(page.get_by_role("heading", name="No curve")).to_be_visible()
    accessible(page)
    page.get_by_role("button", name="Add a curve").last.click()
    expect(page.get_by_role("combobox", name="Schedule")).to_be_focused()
    expect(page.get_by_role("combobox", name="Schedule")).to_have_value("StepLR")


@pytest.mark.slowest
def test_a_schedule_is_put_into_others_part_by_part(
    page: Page, http: httpx.Client, watch: Watch, look: Callable[[str], None]
) -> None:
    watch.refusals |= {422}  # between two changes, parts and milestones need not fit together
    open_(page, COSINE)
    page.get_by_label("Wrap in").select_option("WarmUp")
    expect(page.get_by_role("textbox", name="warmup_steps")).to_be_visible()
    warm = requests(page)["schedule"]
    assert warm["type"] == "WarmUp"
    assert warm["schedule"] == COSINE["schedule"]
    page.get_by_label("Wrap in").select_option("SequentialLR")
    expect(page.get_by_text("Part 2")).to_be_visible()
    assert requests(page)["schedule"]["schedulers"][0] == warm

    page.get_by_role("button", name="Add a part").click()
    expect(page.get_by_text("Part 3")).to_be_visible()
    third = page.locator(".part").nth(2)
    inner = third.get_by_role("combobox", name="schedulers")
    inner.fill("ExponentialLR")
    inner.press("Enter")
    third.get_by_role("textbox", name="gamma").fill("0.8")
    page.get_by_role("textbox", name="milestones").fill("40, 70")
    made = requests(page)["schedule"]
    assert made["milestones"] == [40, 70]
    assert made["schedulers"][2] == {"type": "ExponentialLR", "gamma": 0.8}
    drawn(page, http, "cosine", requests(page))
    look("composite")

    page.get_by_role("button", name="Part 3: Move up").click()
    assert requests(page)["schedule"]["schedulers"][1] == made["schedulers"][2]
    drawn(page, http, "cosine", requests(page))
    page.get_by_role("button", name="Part 1: Remove this part").press("Enter")
    page.get_by_role("textbox", name="milestones").fill("40")
    assert requests(page)["schedule"]["schedulers"] == [made["schedulers"][2], made["schedulers"][1]]
    drawn(page, http, "cosine", requests(page))


@pytest.mark.slow
def test_a_schedule_that_follows_a_metric_has_the_metric_as_input(page: Page, http: httpx.Client, watch: Watch) -> None:
    open_(page, PLATEAU)
    request = requests(page)
    assert len(request["metrics"]) == 99
    drawn(page, http, "plateau", request)
    field = page.get_by_role("textbox", name="metrics")
    metrics = [1.0 - i / 100 for i in range(50)] + [0.5] * 49
    field.fill(" ".join(map(str, metrics)))
    drawn(page, http, "plateau", request | {"metrics": metrics})

    field.fill("1, two")
    expect(page.locator(".error:visible")).to_have_text("Numbers are needed, with commas between them.")
    watch.refusals |= {422}
    field.fill("1, 0.9")
    expect(page.locator(".error:visible")).to_contain_text("99 values, not 2")
    accessible(page)
    page.get_by_role("button", name="Use an example").click()
    drawn(page, http, "plateau", request)
    expect(page.locator(".error:visible")).to_have_count(0)


def test_momentum_has_an_axis_of_its_own_and_rates_one_in_powers(page: Page) -> None:
    page.goto("/")
    waits(page, f"({DRAWN})().some((each) => each.axis === 'y2')")
    page.get_by_label("Momentum", exact=True).uncheck()
    waits(page, f"!({DRAWN})().some((each) => each.axis === 'y2')")
    page.get_by_label("Log axis").check()
    waits(page, "document.querySelector('.js-plotly-plot').layout.yaxis.type === 'log'")
    expect(page).to_have_url(re.compile("log=1"))
    page.get_by_role("button", name="Whole curve").click()
    page.get_by_role("button", name="Remove OneCycleLR").click()
    expect(page.get_by_label("Momentum", exact=True)).to_be_hidden()


def test_groups_of_parameters_have_a_curve_each(page: Page, http: httpx.Client) -> None:
    open_(page, STEP)
    page.get_by_role("textbox", name="base_lr").fill("0.1, 0.01")
    waits(page, f"({DRAWN})().length === 2")
    wanted = http.post("/v1/curves", json={"schedule": STEP["schedule"], "base_lr": [0.1, 0.01], "steps": 100}).json()
    assert [each["y"] for each in page.evaluate(DRAWN)] == wanted["lr"]
    expect(page.get_by_role("rowheader")).to_have_text(["steps down, group 1", "steps down, group 2"])


@pytest.mark.slow
def test_an_error_stands_beside_the_field_that_it_names(page: Page, watch: Watch) -> None:
    watch.refusals |= {422}
    sequence = {"type": "MultiStepLR", "milestones": [30, 10], "gamma": 0.5}
    open_(page, {"name": "wrong", "schedule": {"type": "Scale", "factor": 2, "schedule": sequence}, "base_lr": 0.1})
    field = page.get_by_role("textbox", name="milestones")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_accessible_description(re.compile("must rise"))
    expect(page.locator(".curve-row")).to_contain_text("Invalid")
    accessible(page)
    field.fill("10, 30")
    expect(field).not_to_have_attribute("aria-invalid", "true")
    expect(page.locator(".curve-row")).not_to_contain_text("Invalid")

    watch.refusals.clear()
    gamma = page.get_by_role("textbox", name="gamma")
    for wrong, message in {"-1": "More than 0", "x": "A number is needed", "": "A number is needed"}.items():
        if wrong or "gamma" in SCHEDULES["MultiStepLR"].model_json_schema()["required"]:
            gamma.fill(wrong)  # not sent at all
            expect(gamma).to_have_accessible_description(re.compile(message))
    gamma.fill("0.5")
    expect(gamma).not_to_have_attribute("aria-invalid", "true")


def test_doubts_of_the_api_stand_beside_the_curve(page: Page) -> None:
    parts = [{"type": "ConstantLR", "factor": 0.1, "total_iters": 50}, {"type": "ExponentialLR", "gamma": 0.9}]
    jump = {"type": "SequentialLR", "schedulers": parts, "milestones": [20]}
    open_(page, {"name": "jump", "schedule": jump, "base_lr": 0.1})
    expect(page.locator(".note.warn")).to_contain_text("Jump (step 20): the rate jumps from 0.01 to 0.1")


@pytest.mark.slow
def test_the_code_of_each_framework_is_shown_as_the_api_writes_it(page: Page, http: httpx.Client) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_(page, COSINE)
    page.get_by_role("tab", name="JSON").press("ArrowRight")
    expect(page.get_by_role("tab", name="curl")).to_be_focused()
    curl = page.get_by_role("tabpanel").locator("pre").inner_text()
    assert json.loads(re.search(r"-d '(.*)'", curl)[1]) == COSINE_REQUEST  # type: ignore[index]
    panel = page.get_by_role("tabpanel")
    for framework, name in {"torch": "PyTorch", "optax": "optax", "keras": "Keras", "timm": "timm"}.items():
        page.get_by_role("tab", name=name).click()
        body = {"schedule": COSINE["schedule"], "base_lr": 0.2, "to": framework, "total_steps": 100}
        wanted = http.post("/v1/schedules/translate", json=body).json()
        expect(panel.locator("pre")).to_have_text(wanted["code"])
        expect(panel.locator(".badge")).to_have_text("Exact" if wanted["exact"] else "Not exact")
        expect(panel.locator("li")).to_have_text(wanted["notes"])
        panel.get_by_role("button", name="Copy").click()
        assert page.evaluate("navigator.clipboard.readText()") == wanted["code"]


COSINE_REQUEST = {"schedule": COSINE["schedule"], "base_lr": 0.2, "steps": 100}


@pytest.mark.slowest
def test_a_link_opens_the_same_view_again(page: Page, http: httpx.Client) -> None:
    open_(page, STEP, COSINE, PLATEAU, at=1)
    page.get_by_role("slider", name="T_max").press("PageDown")
    page.get_by_label("Log axis").check()
    page.get_by_role("button", name="plateau shown").click()
    page.get_by_role("textbox", name="Name").fill("my <b>cosine</b> & more")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy link").click()
    link = page.evaluate("navigator.clipboard.readText()")
    waits(page, "link => location.href === link", link)
    before = requests(page), page.evaluate(DRAWN), page.locator(".curves").inner_text()

    page.goto("about:blank")
    page.goto(link)
    expect(page.get_by_role("textbox", name="Name")).to_have_value("my <b>cosine</b> & more")
    waits(page, f"({DRAWN})().length === 2")
    assert (requests(page), page.evaluate(DRAWN), page.locator(".curves").inner_text()) == before
    expect(page.get_by_label("Log axis")).to_be_checked()
    page.get_by_role("link", name="API").click()
    page.go_back()
    waits(page, f"({DRAWN})().length === 2")
    assert requests(page) == before[0]


def test_a_link_that_was_cut_off_is_said_to_be(page: Page) -> None:
    page.goto("/#/schedules?steps=100&curves=[{%22name%22")
    expect(page.get_by_role("alert").filter(has_text="The link could not be read")).to_be_visible()
    expect(page.locator(".js-line").first).to_be_visible()


def test_an_unknown_schedule_in_a_link_can_be_changed_for_another(page: Page, watch: Watch) -> None:
    watch.refusals |= {404, 422}
    page.goto(address({"name": "x", "schedule": {"type": "<img src=x onerror=alert(1)>"}, "base_lr": 0.1}))
    expect(page.get_by_role("alert").filter(has_text="is none of the schedules")).to_be_visible()
    picker = page.get_by_role("combobox", name="Schedule")
    picker.fill("PolynomialLR")
    expect(page.get_by_role("listbox").get_by_role("option").first).to_contain_text("PolynomialLR")
    picker.press("Enter")
    expect(page.get_by_role("textbox", name="power")).to_be_visible()


def test_names_from_a_link_are_text_wherever_they_are_shown(page: Page) -> None:
    name = '<img src="/none" onerror="window.ran = 1"><a href="javascript:window.ran=1">&lt;x</a>'
    open_(page, STEP | {"name": name})
    waits(page, f"({DRAWN})().length === 1")
    box = page.locator(".nsewdrag").first.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator(".hoverlayer")).to_contain_text(name)
    assert page.locator(".curve-name").inner_text() == name
    assert page.evaluate("[window.ran, document.querySelectorAll('main img, .chart a').length]") == [None, 0]


def test_a_schedule_goes_on_to_the_form_of_a_job(page: Page) -> None:
    open_(page, STEP)
    link = page.get_by_role("link", name="Train with this schedule").get_attribute("href")
    assert link is not None
    path, _, query = link.partition("?")
    assert path == "#/submit"
    assert json.loads(parse_qs(query)["spec"][0]) == {
        "optimizer": {"type": "SGD", "lr": 0.1},
        "schedule": STEP["schedule"],
        "interval": "epoch",
        "epochs": 100,
    }


@pytest.mark.slow
def test_the_curves_shown_are_downloaded(page: Page, tmp_path: Path) -> None:
    open_(page, STEP, COSINE)
    waits(page, f"({DRAWN})().length === 2")
    for way, beginning in {"CSV": b"step,", "PNG": b"\x89PNG", "SVG": b"<?xml"}.items():
        with page.expect_download() as waiting:
            page.get_by_role("button", name=f"Download {way}").click()
        file = tmp_path / way
        waiting.value.save_as(file)
        assert waiting.value.suggested_filename == f"schedules.{way.lower()}"
        assert file.read_bytes().startswith(beginning)
    assert len((tmp_path / "CSV").read_text().splitlines()) == 101


FORMS = """async () => {
  const {form} = await import("/web/js/form.js");
  const {schedules} = await (await fetch("/v1/schedules")).json();
  const catalogue = Object.fromEntries(schedules.map((each) => [each.type, each]));
  return schedules.map(({type, parameters, example}) => {
    const made = form(parameters, {value: example, catalogue, steps: () => 100});
    return {
      type, example, value: made.get(), areas: made.element.querySelectorAll("textarea").length,
      fields: made.element.querySelectorAll("[data-name]").length,
      unnamed: [...made.element.querySelectorAll("input, select")]
        .filter((each) => !each.getAttribute("aria-label"))
        .filter((each) => !made.element.querySelector(`label[for="${each.id}"]`)).length,
    };
  });
}"""


def test_the_form_of_every_schedule_has_a_control_for_each_parameter_and_gives_its_example_back(page: Page) -> None:
    page.goto("/")
    found = {each["type"]: each for each in page.evaluate(FORMS)}

    assert found.keys() == SCHEDULES.keys()
    for type, each in found.items():
        schedule = SCHEDULES[type]
        assert schedule.model_validate(each["value"]) == schedule.model_validate(each["example"]), type
        assert each["areas"] == 0, f"{type} has a field of plain JSON"
        assert each["unnamed"] == 0
        assert each["fields"] >= len(schedule.model_fields) - 1
    assert np.mean([each["fields"] for each in found.values()]) > 2
