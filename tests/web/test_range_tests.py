"""An LR range test, from its result to a training at what it suggests."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import Service

pytestmark = pytest.mark.slow

TEST = {
    "model": {"type": "mlp"},
    "dataset": {"type": "digits"},
    "optimizer": {"type": "SGD", "param_groups": [{"params": "*.bias", "lr": 0.002}]},
    "start_lr": 1e-3,
    "num_iter": 60,
    "seeds": [0, 1],
    "batch_size": 64,
}


def test_its_losses_and_suggestions_lead_to_a_training(
    page: Page, service: Service, look: Callable[[str], None]
) -> None:
    job = service.http.post("/v1/lr-range-tests", json=TEST).json()
    page.goto(f"/#/jobs/{job['id']}")  # goes on to where range tests are
    expect(page.locator(".heading .badge[data-state]")).to_have_text("Succeeded", timeout=60_000)
    expect(page).to_have_url(re.compile(f"#/range-tests/{job['id']}"))
    expect(page.get_by_role("img", name=re.compile("Loss and smoothed loss"))).to_be_visible()
    found = service.http.get(f"/v1/jobs/{job['id']}").json()["result"]["suggestion"]
    table = page.get_by_role("table")
    for name, rate in found.items():
        if name == "reasons":
            continue
        row = table.get_by_role("row", name=re.compile(name))
        expect(row).to_contain_text(found["reasons"][name] if rate is None else f"{rate:.3g}"[:4])
    look("range-test")
    page.get_by_label("Each seed").uncheck()

    assert found["valley"] is not None
    table.get_by_role("row", name=re.compile("valley")).get_by_role("link").click()
    page.get_by_role("tab", name="JSON").click()
    spec = json.loads(page.get_by_role("textbox", name="JSON").input_value())
    assert spec["optimizer"]["lr"] == found["valley"]
    ratio = spec["optimizer"]["param_groups"][0]["lr"] / found["valley"]
    assert abs(ratio - 2) < 1e-9  # as it was to the optimizer's own, 0.001
    page.get_by_role("button", name="Submit the job").click()
    expect(page).to_have_url(re.compile("#/jobs/"))
    assert service.client.job(page.url.rpartition("/")[2]).spec["optimizer"]["lr"] == found["valley"]


@pytest.mark.slowest
def test_what_it_cannot_suggest_has_its_reason(page: Page, service: Service) -> None:
    job = service.http.post("/v1/lr-range-tests", json=TEST | {"num_iter": 4, "seeds": None}).json()
    page.goto(f"/#/range-tests/{job['id']}")
    result = service.ended(job["id"]).result
    assert result is not None
    expect(page.get_by_role("table")).to_contain_text(result["suggestion"]["reasons"]["valley"])
    expect(page.get_by_role("link", name=re.compile("Train at"))).to_have_count(0)
