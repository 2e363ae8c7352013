"""The list of jobs, and one job, clicked through while real jobs run."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import Service
from tests.factories import job_spec, long_job
from tests.web.conftest import Watch, waits

pytestmark = pytest.mark.slow

EPOCHS = "i => Array.from(document.querySelectorAll('.js-plotly-plot')[i].layout.xaxis.range)"


def test_a_job_is_seen_to_train_and_to_stop(page: Page, service: Service, look: Callable[[str], None]) -> None:
    job = service.client.submit(long_job(epochs=200, labels=["browser=live"]))
    page.goto(f"/#/jobs/{job.id}")
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_contain_text("lenet · fake · Constant")
    state = page.locator(".heading .badge[data-state]")
    expect(state).to_have_text("Running", timeout=60_000)
    expect(page.get_by_role("img", name=re.compile("Loss and accuracies of [1-9]"))).to_be_visible(timeout=60_000)
    expect(page.locator(".progress-text")).to_contain_text("of 200")
    expect(page.get_by_text(re.compile("^Epoch 1: train loss"))).to_have_count(0)  # its time stands before it
    expect(page.locator(".events li").filter(has_text="Epoch 1: train loss")).to_be_visible()
    assert state.inner_text() == "Running", "what was seen was not live"

    page.get_by_role("button", name="Pause").click()
    expect(state).to_have_text("Paused", timeout=60_000)
    look("job-paused")
    page.get_by_role("button", name="Resume").click()
    expect(state).to_have_text(re.compile("Queued|Running"))
    page.get_by_role("button", name="Cancel job").click()
    page.get_by_role("button", name="Keep it").click()
    assert service.client.job(job.id).state != "cancelled"
    page.get_by_role("button", name="Cancel job").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel job").click()
    expect(state).to_have_text("Cancelled", timeout=60_000)

    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").press("Enter")
    expect(heading).to_have_text("Jobs")
    assert service.http.get(f"/v1/jobs/{job.id}").status_code == 404


@pytest.mark.slowest
def test_an_ended_job_has_its_figure_files_and_ways_on(
    page: Page, service: Service, watch: Watch, look: Callable[[str], None]
) -> None:
    schedule = {"type": "StepLR", "step_size": 2, "gamma": 0.5}
    job = service.train(job_spec(epochs=6, schedule=schedule, labels=["browser=done"]))
    watch.cut = True
    page.route("**/plotly-*", lambda route: route.abort())
    page.goto(f"/#/jobs/{job.id}")
    expect(page.get_by_role("alert").filter(has_text="The chart library did not load")).to_have_count(2)
    page.unroute("**/plotly-*")
    watch.cut = False
    page.get_by_role("button", name="Try again").first.click()  # for both figures
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.get_by_role("img", name=re.compile("Loss and accuracies of 6"))).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("at last 0.025"))).to_be_visible()
    page.get_by_role("application", name=re.compile("at last 0.025")).press("+")
    waits(page, f"({EPOCHS})(1)[0] > 1")
    assert page.evaluate(f"({EPOCHS})(0)") == [0.5, 6.5]  # the other figure's
    page.keyboard.press("Home")
    waits(page, f"({EPOCHS})(1)[0] === 0.5")
    assert job.best is not None
    expect(page.locator("dl.facts")).to_contain_text(f"{100 * job.best.test_accuracy:.2f} %")
    look("job")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download: metrics.csv").click()
    served = service.http.get(f"/v1/jobs/{job.id}/artifacts/metrics.csv").content
    assert download.value.path().read_bytes() == served
    page.get_by_text("Spec as JSON").click()
    expect(page.get_by_role("region", name="Spec as JSON")).to_contain_text('"type": "StepLR"')

    page.get_by_role("button", name="Run again").click()
    expect(page).not_to_have_url(re.compile(job.id))
    again = page.url.rpartition("/")[2]
    assert service.ended(again).spec == job.spec
    expect(page.locator(".heading .badge[data-state]")).to_have_text("Succeeded")


def test_an_error_is_shown(page: Page, service: Service) -> None:
    job = service.train(job_spec(optimizer={"type": "SGD", "lr": 1e30}))
    assert job.error is not None
    page.goto(f"/#/jobs/{job.id}")
    expect(page.get_by_role("alert").filter(has_text=job.error.message)).to_be_visible()


@pytest.mark.slowest
def test_the_list_filters_pages_and_follows(page: Page, service: Service, look: Callable[[str], None]) -> None:
    label = "browser=list"
    waiting = job_spec(labels=[label], hardware="none")  # for a worker that never comes
    ids = [service.client.submit(waiting | {"seed": seed}).id for seed in range(21)]
    ids.append(service.client.submit(job_spec(labels=[label])).id)
    page.goto("/#/jobs")
    rows = page.locator("table.list tbody tr")
    expect(rows).to_have_count(20)
    look("jobs")
    page.get_by_label("Label").fill(label)
    page.get_by_label("Label").press("Enter")
    expect(rows.first).to_have_attribute("data-id", ids[-1])
    page.get_by_role("button", name="Older").click()
    expect(rows).to_have_count(2)
    expect(rows.last).to_have_attribute("data-id", ids[0])
    page.reload()  # the page's address has it all
    expect(rows).to_have_count(2)
    page.get_by_role("button", name="Newest").click()
    service.ended(ids[-1])
    expect(rows.first).to_contain_text("Succeeded")
    expect(rows.first.get_by_role("img")).to_be_visible()
    page.get_by_label("State").select_option("Failed")
    expect(page.get_by_role("heading", name="No job is like that")).to_be_visible()
    page.get_by_role("button", name="Show all").click()
    expect(rows).to_have_count(20)
    rows.first.get_by_role("link").first.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("lenet · fake")
    for job_id in ids[:-1]:
        service.client.cancel(job_id)


def test_queues_and_workers_are_told(page: Page) -> None:
    page.goto("/#/jobs")
    expect(page.get_by_role("region", name="Queues and workers")).to_contain_text("workers: 1")


def test_what_is_not_there_and_what_does_not_answer_are_told(page: Page, watch: Watch, service: Service) -> None:
    watch.refusals.add(404)
    page.goto("/#/jobs/none")
    expect(page.get_by_role("alert")).to_contain_text("Job not found")
    page.get_by_role("link", name="Jobs").click()
    expect(page.locator("table.list")).to_be_visible()
    watch.cut = True
    page.context.set_offline(True)
    expect(page.get_by_role("alert").filter(has_text="The service does not answer")).to_be_visible(timeout=60_000)
    page.context.set_offline(False)
    expect(page.get_by_role("alert")).to_have_count(0)
