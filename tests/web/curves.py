"""The view of schedules: how it is opened, and what it shows."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import httpx
from playwright.sync_api import Page, expect

STEP = {"name": "steps down", "schedule": {"type": "StepLR", "step_size": 20, "gamma": 0.5}, "base_lr": 0.1}
COSINE = {"name": "cosine", "schedule": {"type": "CosineAnnealingLR", "T_max": 100}, "base_lr": 0.2}
PLATEAU = {"name": "plateau", "schedule": {"type": "ReduceLROnPlateau", "factor": 0.5, "patience": 3}, "base_lr": 0.1}
DRAWN = """() => (document.querySelector(".js-plotly-plot")?.data ?? [])
  .map((trace) => ({name: trace.name, axis: trace.yaxis, x: Array.from(trace.x), y: Array.from(trace.y)}))"""


def address(*curves: dict[str, Any], **query: Any) -> str:
    return "/#/schedules?" + urlencode({"steps": 100, **query, "curves": json.dumps(curves)})


def open_(page: Page, *curves: dict[str, Any], **query: Any) -> None:
    page.goto(address(*curves, **query))
    expect(page.get_by_role("textbox", name="Name")).to_be_visible()


def requests(page: Page) -> dict[str, Any]:
    """The JSON to copy: the whole request for the chosen curve."""
    return json.loads(page.get_by_role("tabpanel").locator("pre").inner_text())  # type: ignore[no-any-return]


def drawn(page: Page, http: httpx.Client, name: str, request: dict[str, Any]) -> None:
    """Wait until the curve `name` is drawn with the rates that the API has for `request`."""
    wanted = http.post("/v1/curves", json=request).raise_for_status().json()["lr"]
    found: list[float] = []
    for _ in range(300):
        found = next((each["y"] for each in page.evaluate(DRAWN) if each["name"] == name and each["axis"] == "y"), [])
        if found == wanted:
            return
        page.wait_for_timeout(50)
    assert found == wanted
