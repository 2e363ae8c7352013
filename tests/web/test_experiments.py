"""An experiment, from its form to its leaderboard, while its runs train."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import Service
from tests.factories import job_spec, long_job
from tests.web.conftest import Watch, waits

pytestmark = pytest.mark.slow

EPOCHS = "() => Array.from(document.querySelector('.js-plotly-plot').layout.xaxis.range)"
GRID = {"schedule": [None, {"type": "StepLR", "step_size": 2, "gamma": 0.5}], "lr": [0.01, 0.1], "seed": [0, 1, 2]}


def experiment(service: Service, **changes: Any) -> dict[str, Any]:
    """A submitted experiment of twelve runs."""
    base = job_spec(dataset={"type": "digits"}, model={"type": "mlp"}, epochs=4)
    answer = service.http.post("/v1/experiments", json={"name": "Which?", "base": base, "grid": GRID} | changes)
    made: dict[str, Any] = answer.raise_for_status().json()
    return made


def column(page: Page, place: int) -> list[str]:
    """The cells of a column of the leaderboard."""
    return page.locator("[aria-label=Leaderboard] tbody tr").locator(f"td:nth-child({place})").all_inner_texts()


def test_it_is_seen_to_run_and_its_leaderboard_sorts(page: Page, service: Service, look: Callable[[str], None]) -> None:
    job = experiment(service)
    page.goto("/#/experiments")
    page.get_by_role("link", name="Which?: mlp · digits").first.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Which?: mlp · digits")
    state = page.locator(".heading .badge[data-state]")
    expect(state).to_have_text("Succeeded", timeout=240_000)
    expect(page.get_by_role("img", name="Curves of 12 runs")).to_be_visible()
    look("experiment")
    chart = page.get_by_role("application", name="Curves of 12 runs")
    chart.press("+")
    waits(page, f"({EPOCHS})()[0] > 1")
    page.wait_for_timeout(500)  # the curves are thinned anew for the part, and drawn
    assert page.evaluate(f"({EPOCHS})()[0]") > 1
    chart.press("0")
    waits(page, f"({EPOCHS})()[0] === 0.5")

    url = f"/v1/experiments/{job['id']}"
    rows = service.http.get(url).json()["leaderboard"]
    board = page.get_by_role("region", name="Leaderboard")
    assert column(page, 1) == [str(row["rank"]) for row in rows]
    first = rows[1]
    mean, low = 100 * first["final_test_accuracy"]["mean"], 100 * first["difference"]["low"]
    second = board.get_by_role("row").nth(2)
    expect(second).to_contain_text(f"{mean:.2f} ± {100 * first['final_test_accuracy']['std']:.2f} %")
    expect(second).to_contain_text(f"[{'−' if low < 0 else '+'}{abs(low):.2f}")
    board.get_by_role("button", name="lr").press("Enter")
    assert column(page, 3) == ["0.01", "0.01", "0.1", "0.1"]
    board.get_by_role("button", name="lr").press("Enter")
    assert column(page, 3) == ["0.1", "0.1", "0.01", "0.01"]
    expect(board.get_by_role("columnheader", name="lr")).to_have_attribute("aria-sort", "descending")

    page.get_by_label("Compare with").select_option("3")
    compared = {
        row["configuration"]: row for row in service.http.get(url, params={"baseline": 3}).json()["leaderboard"]
    }
    row = page.locator("tr[data-configuration='0']")
    expect(row).to_contain_text(f"{abs(100 * compared[0]['difference']['mean']):.2f} [")
    expect(page.locator("tr[data-configuration='3']")).to_contain_text("–")
    page.get_by_label("Show", exact=True).select_option("Learning rate")
    with page.expect_download() as download:
        page.get_by_role("button", name=re.compile("leaderboard")).click()
    assert len(list(csv.reader(io.StringIO(download.value.path().read_text())))) == 5

    page.get_by_role("link", name="Run 7 as a job of its own").click()
    page.get_by_role("tab", name="JSON").click()
    spec = json.loads(page.get_by_role("textbox", name="JSON").input_value())
    assert spec["schedule"]["type"] == "StepLR"
    assert (spec["optimizer"]["lr"], spec["seed"]) == (0.01, 1)


@pytest.mark.slowest
def test_it_is_paused_resumed_and_cancelled_as_one(page: Page, service: Service) -> None:
    base = long_job(epochs=200)
    job = experiment(service, base=base, grid={"seed": [0, 1]}, name=None)
    page.goto(f"/#/experiments/{job['id']}")
    state = page.locator(".heading .badge[data-state]")
    expect(state).to_have_text("Running", timeout=60_000)
    expect(page.get_by_role("img", name=re.compile("Curves of [12] runs"))).to_be_visible(timeout=60_000)  # live
    page.get_by_role("button", name="Pause").click()
    expect(state).to_have_text("Paused", timeout=60_000)
    page.get_by_role("button", name="Resume").click()
    expect(state).to_have_text(re.compile("Queued|Running"))
    page.get_by_role("button", name="Cancel job").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel job").click()
    expect(state).to_have_text("Cancelled", timeout=60_000)


def test_a_form_makes_one(page: Page, watch: Watch, service: Service, look: Callable[[str], None]) -> None:
    watch.refusals.add(422)  # an axis that has no values yet
    page.goto("/#/submit?kind=experiment")
    plan = page.get_by_role("region", name="What it would do")
    expect(plan).to_contain_text("Configurations")
    lr = page.locator("fieldset[data-name=grid] [data-name=lr]")
    lr.get_by_role("checkbox").check()
    lr.get_by_role("textbox").fill("0.1, 0.2")
    momentum = page.locator("fieldset[data-name=grid] [data-name=momentum]")
    momentum.get_by_role("checkbox").check()
    momentum.get_by_role("textbox").fill("0, 0.5, 0.9")
    expect(plan.locator("dl.facts")).to_contain_text(re.compile("Configurations\\s*6\\s*Runs\\s*18"))
    look("submit-experiment")
    page.locator("fieldset[data-name=base] [data-name=epochs] input[type=text]").fill("1")
    expect(plan.locator("dl.facts")).to_contain_text(re.compile("Steps in all\\s*414"))  # 18 runs of 23
    page.get_by_role("button", name="Submit the experiment").click()
    expect(page).to_have_url(re.compile("#/experiments/"))
    made = service.http.get(f"/v1/jobs/{page.url.rpartition('/')[2]}").json()
    assert made["spec"]["grid"]["momentum"] == [0, 0.5, 0.9]
    assert service.ended(made["id"]).state == "succeeded"
