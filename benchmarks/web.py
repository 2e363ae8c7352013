"""The dashboard in Chromium: until it can be used, from a slider to the curve, and many runs in one chart.

`make bench-web`. Each time is taken inside the page. Beside the curve of a slider stands what its request alone takes,
so that a busy machine shows in both.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from playwright.sync_api import Page, sync_playwright

from benchmarks.measure import verdict
from benchmarks.service import service

VISITS, MOVES = 6, 200
SEEN = """
window.seen = {};
new MutationObserver(() => {
  if (!window.seen.form && document.querySelector(".editor input[type=range]")) window.seen.form = performance.now();
  if (!window.seen.curve && document.querySelector(".sketch-line, .js-line")) window.seen.curve = performance.now();
  if (!window.seen.chart && document.querySelector(".js-line")) window.seen.chart = performance.now();
}).observe(document, {subtree: true, childList: true});
"""
SLIDE = """async (moves) => {
  const slider = document.querySelector('input[type=range][aria-label^="gamma"]');
  const line = () => document.querySelector(".js-line").getAttribute("d");
  const times = [];
  for (let i = 0; i < moves; i += 1) {
    const before = line();
    const start = performance.now();
    slider.value = 300 + (i * 37) % 500;
    slider.dispatchEvent(new Event("input", {bubbles: true}));
    await new Promise((resolve) => {
      const look = () => { if (line() !== before) { watch.disconnect(); resolve(); } };
      const watch = new MutationObserver(look);
      watch.observe(document.querySelector(".js-plotly-plot"), {subtree: true, attributes: true, childList: true});
    });
    times.push(performance.now() - start);
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  }
  return times;
}"""
ASK = """async (moves) => {
  const times = [];
  for (let i = 0; i < moves; i += 1) {
    const schedule = {type: "StepLR", step_size: 20, gamma: 0.3 + i / 1000};
    const body = JSON.stringify({schedule, base_lr: 0.1, steps: 1000});
    const start = performance.now();
    const answer = await fetch("/v1/curves", {method: "POST", body, headers: {"Content-Type": "application/json"}});
    await answer.json();
    times.push(performance.now() - start);
  }
  return times;
}"""
MANY = """async ([runs, points]) => {
  const {chart} = await import("/web/js/chart.js");
  const root = document.createElement("div");
  document.querySelector("main").replaceChildren(root);
  const made = await chart(root);
  const x = Array.from({length: points}, (_, i) => i);
  const loss = (i, run, turn) => Math.exp(-i / (50 + 5 * run)) + 0.02 * Math.sin(i * (run + turn));
  const traces = (turn) => Array.from({length: runs}, (_, run) => (
    {name: `run ${run}`, x, y: x.map((i) => loss(i, run, turn)), opacity: 0.5}
  ));
  const times = {};
  for (const name of ["first", "again", "once more"]) {
    const spec = {traces: traces(times.first ? 1 : 0), legend: false};
    const start = performance.now();
    await made.update(spec);
    times[name] = performance.now() - start;
  }
  return times;
}"""


def spread(times: list[float]) -> str:
    ordered = sorted(times)
    at = [ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.95, 0.99)]
    return "p50 {:7.1f} ms  p95 {:7.1f} ms  p99 {:7.1f} ms".format(*at)


def visit(page: Page, url: str) -> dict[str, float]:
    """When form, curve, and the chart with zoom and hover were there, and how long the page had computed, in ms."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto(url)
    while not page.evaluate("Boolean(window.seen.form && window.seen.chart)"):
        page.wait_for_timeout(20)
    metrics = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    session.detach()
    return page.evaluate("window.seen") | {"computed": 1000 * metrics["TaskDuration"]}  # type: ignore[no-any-return]


def first_view(browser: Any, url: str) -> None:
    cold, kept = [], []
    for _ in range(VISITS):
        context = browser.new_context()  # nothing kept from the one before
        page = context.new_page()
        page.add_init_script(SEEN)
        cold.append(visit(page, url))
        kept.append(visit(page, url))
        context.close()
    print(f"first visit of the service's life: form {cold[0]['form']:.0f} ms, curve {cold[0]['curve']:.0f} ms")
    for name, seen in (("nothing kept", cold[1:]), ("files kept", kept)):
        form, curve, whole, computed = (
            statistics.median(each[what] for each in seen) for what in ("form", "curve", "chart", "computed")
        )
        print(
            f"{name:14} form {form:6.0f} ms  curve {curve:6.0f} ms   target 1500  {verdict(max(form, curve) < 1500)};"
            f"  zoom and hover {whole:6.0f} ms, computed {computed:6.0f} ms"
        )


def slider(browser: Any, url: str) -> None:
    curve = {"name": "steps", "schedule": {"type": "StepLR", "step_size": 20, "gamma": 0.5}, "base_lr": 0.1}
    page = browser.new_page()
    page.goto(f"{url}/#/schedules?{urlencode({'steps': 1000, 'curves': json.dumps([curve])})}")
    page.wait_for_selector(".js-line", state="attached")
    page.wait_for_timeout(2000)  # the catalogue has come
    page.evaluate(SLIDE, 20)
    times = page.evaluate(SLIDE, MOVES)
    asked = page.evaluate(ASK, MOVES)
    print(f"slider to curve      {spread(times)}   target 100  {verdict(statistics.median(times) < 100)}")
    print(f"the request alone    {spread(asked)}   {statistics.median(asked) / statistics.median(times):.2f} of it")
    page.close()


def many(browser: Any, url: str) -> None:
    page = browser.new_page()
    page.goto(url)
    page.wait_for_selector(".js-line", state="attached")
    found = page.evaluate(MANY, [100, 1000])
    print("100 runs of 1,000 points: " + ", ".join(f"{name} {ms:.0f} ms" for name, ms in found.items()))
    page.close()


def main() -> None:
    path = shutil.which("chromium") or sys.exit("no Chromium: see the Makefile's target chromium")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the start")
    with (
        tempfile.TemporaryDirectory() as folder,
        service(Path(folder), 0) as running,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=path, args=["--no-sandbox"] if os.geteuid() == 0 else []) as browser,
    ):
        first_view(browser, running.url)
        slider(browser, running.url)
        many(browser, running.url)


if __name__ == "__main__":
    main()
