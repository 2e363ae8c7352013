"""The chart of the view of schedules: with and without its library, zoomed and moved by keyboard."""

from __future__ import annotations

import re

import httpx
import numpy as np
import pytest
from playwright.sync_api import Page, Route, expect

from tests.conftest import until
from tests.web.conftest import Watch, accessible, waits
from tests.web.curves import STEP, address, drawn, open_, requests

pytestmark = pytest.mark.slow


@pytest.mark.slowest
def test_curve_and_form_are_there_before_the_chart_library(page: Page, http: httpx.Client) -> None:
    waiting: list[Route] = []
    page.route("**/plotly-*", lambda route: waiting.append(route))  # Playwright marks its handlers
    page.goto(address(STEP))
    sketch = page.locator("svg.sketch")
    expect(sketch.locator(".sketch-line")).to_be_visible()
    assert sketch.get_attribute("aria-label") == "Learning rate over 100 steps: steps down"
    before = sketch.locator(".sketch-line").get_attribute("d")

    page.get_by_role("slider", name="gamma").press("End")

    waits(page, "old => document.querySelector('.sketch-line').getAttribute('d') !== old", before)
    flat = sketch.locator(".sketch-line").get_attribute("d") or ""
    assert len(set(re.findall(r"[ LV]([\d.]+)(?=[LHMV]|$)", flat))) == 1  # gamma is 1: all of it at one height
    assert page.evaluate("window.Plotly === undefined")
    for each in waiting:
        each.continue_()
    drawn(page, http, "steps down", requests(page))
    expect(sketch).to_have_count(0)


def test_without_the_chart_library_the_curve_stays_and_follows_with_the_error_beneath_it(
    page: Page, http: httpx.Client, watch: Watch
) -> None:
    watch.cut = True
    page.route("**/plotly-*", lambda route: route.abort())
    page.goto(address(STEP))
    error = page.get_by_role("alert").filter(has_text="The chart library did not load")
    line = page.locator("svg.sketch .sketch-line")
    expect(error).to_be_visible()
    expect(line).to_be_visible()
    page.evaluate("""() => {
      window.gone = 0;
      const seen = (each) => [...each.removedNodes].some((node) => node.matches?.("[role=alert], :has([role=alert])"));
      new MutationObserver((all) => { window.gone += all.filter(seen).length; })
        .observe(document.querySelector(".chart-frame"), {subtree: true, childList: true});
    }""")
    for key in ("End", "PageDown", "PageDown"):
        before = line.get_attribute("d")
        page.get_by_role("slider", name="gamma").press(key)
        waits(page, "old => document.querySelector('.sketch-line').getAttribute('d') !== old", before)
    assert page.evaluate("window.gone") == 0
    accessible(page)

    page.unroute("**/plotly-*")
    watch.cut = False
    page.get_by_role("button", name="Try again").press("Enter")
    drawn(page, http, "steps down", requests(page))
    expect(error).to_have_count(0)


RANGES = """() => ["xaxis", "yaxis", "yaxis2"].filter((name) => document.querySelector(".js-plotly-plot").layout[name])
  .map((name) => Array.from(document.querySelector(".js-plotly-plot").layout[name].range))"""


def ranges(page: Page) -> np.ndarray:
    """What each axis of the chart shows: from and to."""
    return np.array(page.evaluate(RANGES), dtype=float)


def shows(page: Page, wanted: np.ndarray) -> None:
    """Wait until the chart shows these ranges."""
    until(lambda: np.allclose(ranges(page), wanted, rtol=1e-9) or page.wait_for_timeout(50), 20)


@pytest.mark.slowest
def test_a_chart_is_zoomed_and_moved_by_keyboard(page: Page) -> None:
    page.goto("/")
    chart = page.get_by_role("application", name=re.compile("Learning rate over 100 steps: OneCycleLR"))
    expect(page.locator(".js-line").first).to_be_visible()
    page.get_by_role("button", name="Whole curve").focus()
    page.keyboard.press("Tab")
    expect(chart).to_be_focused()
    expect(chart).to_have_accessible_description(re.compile("arrow keys move"))
    expect(page.get_by_text("arrow keys move")).to_be_visible()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    whole = ranges(page)
    size = whole[:, 1] - whole[:, 0]
    assert len(whole) == 3

    page.keyboard.press("ArrowDown")  # moves the page, as everywhere, while all is shown
    waits(page, "window.scrollY > 0")
    page.keyboard.press("+")
    part = whole + np.outer(size, [1 / 6, -1 / 6])
    shows(page, part)
    expect(page.locator("#live")).to_have_text(re.compile("^Step 1[67]"))
    accessible(page)
    page.keyboard.press("ArrowRight")
    part[0] += size[0] / 1.5 / 5
    shows(page, part)
    page.keyboard.press("ArrowUp")
    part[1:] += np.outer(size[1:] / 1.5 / 5, [1, 1])
    shows(page, part)
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    part[0] = [whole[0, 0], whole[0, 0] + size[0] / 1.5]  # its end
    shows(page, part)
    page.get_by_role("slider", name="max_lr").press("PageDown")
    waits(page, "Math.max(...document.querySelector('.js-plotly-plot').data[0].y) < 0.09")
    shows(page, part)  # another curve, the same part
    page.get_by_role("slider", name="max_lr").press("PageUp")
    chart.focus()
    page.keyboard.press("-")
    shows(page, whole)

    for home in ("Home", "0"):
        page.keyboard.press("+")
        shows(page, whole + np.outer(size, [1 / 6, -1 / 6]))
        page.keyboard.press(home)
        shows(page, whole)
    page.keyboard.press("Escape")
    expect(chart).not_to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("region", name="Facts").last).to_be_focused()


@pytest.mark.slowest
def test_keys_count_in_powers_on_a_log_axis_and_go_on_from_where_the_mouse_was(page: Page) -> None:
    open_(page, {"name": "falls", "schedule": {"type": "ExponentialLR", "gamma": 0.9}, "base_lr": 0.1}, log=1)
    expect(page.locator(".js-line").first).to_be_visible()
    chart = page.get_by_role("application")
    whole = ranges(page)
    size = whole[:, 1] - whole[:, 0]
    assert -7 < whole[1, 0] < -5  # 0.1 * 0.9 ** 99
    chart.focus()
    page.keyboard.press("=")  # the key of + without Shift
    shows(page, whole + np.outer(size, [1 / 6, -1 / 6]))
    page.get_by_role("button", name="Whole curve").click()
    shows(page, whole)

    box = page.locator(".nsewdrag").first.bounding_box()
    assert box
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.25 * box["width"], middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], middle, steps=5)
    page.mouse.up()
    waits(page, "document.querySelector('.js-plotly-plot').layout.xaxis.range[0] > 20")
    part = ranges(page)
    assert np.allclose(part[1], whole[1])
    chart.focus()
    page.keyboard.press("ArrowRight")
    part[0] += (part[0, 1] - part[0, 0]) / 5
    shows(page, part)
    page.mouse.dblclick(box["x"] + 0.5 * box["width"], middle)
    shows(page, whole)
