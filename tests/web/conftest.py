"""Debian's Chromium on the pages of a running lrserve. A test fails on whatever a page complains of."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    expect,
    sync_playwright,
)

from tests.conftest import Service, until

PICTURES = os.environ.get("TEST_PICTURES")  # folder for pictures of what was seen
DESKTOP, NARROW = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
# the browser's own word for an answer of 400 and above, which `Watch` judges by its status
REFUSED = re.compile(r"the server responded with a status of (\d+)")
# a page that is left, or a stream that is no longer followed, ends its requests itself
GIVEN_UP = "net::ERR_ABORTED"
COLOURS = {"runOnly": ["color-contrast"]}  # for axe: all that another scheme changes
SECONDS = 60  # that something may take to be seen, on a machine with much else to do
VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation",
  (event) => window.violations.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sourceFile ?? ""}`));
"""


def chromium() -> str | None:
    """Where the system's Chromium is."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium. Not for the whole session: while Playwright is there, no other test can start an event loop."""
    if (path := chromium()) is None:
        pytest.skip("no Chromium: see the Makefile's target chromium")
    # pages one after another in one process: each would compile the chart library anew, for seconds
    arguments = ["--process-per-site"] + (["--no-sandbox"] if os.geteuid() == 0 else [])
    expect.set_options(timeout=1000 * SECONDS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


class Watch:
    """What a page complains of.

    Attributes:
        refusals: statuses that the test means to see.
        cut: whether requests may fail, because the test cuts the connection.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.refusals: set[int] = set()
        self.cut = False
        self.complaints: list[str] = []
        page.add_init_script(VIOLATIONS)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(f"page error: {error.stack or error}"))
        page.on("requestfailed", self._failed)
        page.on("response", self._answered)

    def _console(self, message: ConsoleMessage) -> None:
        cut = self.cut and "net::ERR_" in message.text
        if message.type == "error" and not REFUSED.search(message.text) and not cut:
            self.complaints.append(f"console: {message.text} ({message.location})")

    def _failed(self, request: Request) -> None:
        if request.failure != GIVEN_UP and not self.cut:
            self.complaints.append(f"request failed: {request.method} {request.url}: {request.failure}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400 and response.status not in self.refusals:
            self.complaints.append(f"refused with {response.status}: {response.request.method} {response.url}")

    def check(self) -> None:
        """Fail if there was anything."""
        self.complaints += [f"policy violated: {each}" for each in self.page.evaluate("window.violations ?? []")]
        assert not self.complaints, "\n".join(self.complaints)


@pytest.fixture(scope="package")
def contexts(browser: Browser) -> dict[str, BrowserContext]:
    """What the pages of a service share, by its URL: files that the browser has, and nothing else."""
    return {}


@pytest.fixture
def page(browser: Browser, contexts: dict[str, BrowserContext], service: Service) -> Iterator[Page]:
    """A page without a memory, whose addresses are those of the running lrserve. `watch` is its attribute."""
    if service.url not in contexts:
        contexts[service.url] = browser.new_context(
            base_url=service.url, viewport=DESKTOP, locale="en-GB", color_scheme="light", reduced_motion="reduce"
        )
        contexts[service.url].set_default_timeout(1000 * SECONDS)
        contexts[service.url].new_page().goto("/healthz")  # stays, or the process would end with each page
    context = contexts[service.url]
    page = context.new_page()
    page.watch = Watch(page)
    yield page
    page.watch.check()
    forget(page, service.url)


def forget(page: Page, url: str) -> None:
    """Close a page, and take from its context what it has left there."""
    session = page.context.new_cdp_session(page)
    session.send("Storage.clearDataForOrigin", {"origin": url, "storageTypes": "cookies,local_storage"})
    page.context.clear_permissions()
    page.context.set_offline(False)
    page.close()


@pytest.fixture
def watch(page: Page) -> Watch:
    """What the page complained of so far, and what it may."""
    return page.watch


def accessible(page: Page, **options: Any) -> None:
    """Fail on axe's serious and critical findings."""
    found = Axe().run(page, options=options).response["violations"]
    bad = [
        f"{each['impact']} {each['id']}: {each['help']}\n  "
        + "\n  ".join(f"{node['target']}: {node['failureSummary']}" for node in each["nodes"][:5])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
    assert not bad, "\n".join(bad)


def waits(page: Page, expression: str, arg: Any = None) -> None:
    """Wait until an expression is true in the page. Playwright's own way evaluates text, against the page's policy."""
    until(lambda: page.evaluate(expression, arg) or page.wait_for_timeout(50), SECONDS)


def fits(page: Page) -> None:
    """Fail if the page has to be moved sideways."""
    wide, has = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide <= has, f"{wide} pixels in a window of {has}"


@pytest.fixture
def look(page: Page) -> Callable[[str], None]:
    """Look at the page, broad, dark and narrow: a picture, axe, and nothing to move sideways."""

    def at(name: str) -> None:
        for way, window, scheme in (("desktop", DESKTOP, "light"), ("dark", DESKTOP, "dark"), ("360", NARROW, "light")):
            page.set_viewport_size(window)
            page.emulate_media(color_scheme=scheme)
            page.wait_for_timeout(150)  # charts are drawn anew for a new size
            if PICTURES:
                page.screenshot(path=Path(PICTURES) / f"{name}-{way}.png", full_page=True)
            accessible(page, **COLOURS if way == "dark" else {})
            fits(page)
        page.set_viewport_size(DESKTOP)
        page.emulate_media(color_scheme="light")

    return at
