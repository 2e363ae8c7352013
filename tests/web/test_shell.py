"""The page around the views: ways through it, language, theme, key, and what it says when the service is away."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from lrcore.access.keys import KeyStore, Role
from lrcore.store.connection import connect
from tests.conftest import redis_process
from tests.security.conftest import api_process
from tests.web.conftest import Watch, accessible, waits

LINE = ".chart .scatterlayer .js-line"


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.textContent || document.activeElement.id"))


@pytest.mark.slow
def test_the_page_can_be_walked_through_by_keyboard(page: Page) -> None:
    page.goto("/")
    expect(page.locator(LINE).first).to_be_visible()
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to content"
    assert page.evaluate("document.activeElement.getBoundingClientRect().top") >= 0  # seen while it has the focus
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    expect(page).to_have_url(re.compile(r"/(#/schedules.*)?$"))

    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        found = page.evaluate(
            """() => { const e = document.activeElement; const s = getComputedStyle(e);
            return [e.tagName, e.getAttribute("aria-label") || e.labels?.[0]?.textContent || e.textContent,
                    s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2]; }"""
        )
        if found[0] == "BODY":
            break
        assert found[2], f"no focus to be seen on {found[:2]}"
        reached.add(found[1].strip())
    assert {"OneCycleLR", "Add a curve", "Schedule", "max_lr", "Log axis", "JSON"} <= reached | {
        name.removesuffix(", slider") for name in reached
    }


@pytest.mark.slow
def test_an_address_of_no_view_says_so_and_leads_back(page: Page, look: Callable[[str], None]) -> None:
    page.goto("/#/nowhere")
    expect(page.get_by_role("heading", name="There is no such view")).to_be_visible()
    look("nowhere")
    page.get_by_role("link", name="Schedules").click()
    expect(page.get_by_role("heading", name="Schedules", level=1)).to_be_visible()
    expect(page.get_by_role("link", name="Schedules")).to_have_attribute("aria-current", "page")
    expect(page).to_have_title("Schedules – lrserve")


@pytest.mark.slowest
def test_the_page_speaks_chinese_and_remembers_it(page: Page) -> None:
    page.goto("/")
    page.get_by_label("Language").select_option("zh")
    expect(page.get_by_role("heading", name="学习率调度", level=1)).to_be_visible()
    expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")
    expect(page.locator(LINE).first).to_be_visible()
    page.reload()
    expect(page.get_by_role("link", name="调度", exact=True)).to_be_visible()
    accessible(page)
    page.get_by_label("语言").select_option("en")
    expect(page.get_by_role("link", name="Schedules")).to_be_visible()


@pytest.mark.slowest
def test_the_theme_is_the_systems_or_the_one_chosen_and_charts_follow(page: Page) -> None:
    page.goto("/")
    expect(page.locator(LINE).first).to_be_visible()

    def colours() -> tuple[str, str]:
        found = page.evaluate(
            f"[getComputedStyle(document.body.parentElement).backgroundColor,"
            f" getComputedStyle(document.querySelector('{LINE}')).stroke]"
        )
        return found[0], found[1]

    light = colours()
    page.emulate_media(color_scheme="dark")
    waits(page, "old => getComputedStyle(document.querySelector('.js-line')).stroke !== old", light[1])
    dark = colours()
    assert dark[0] != light[0]
    page.get_by_label("Theme").select_option("light")
    waits(page, "old => getComputedStyle(document.querySelector('.js-line')).stroke !== old", dark[1])
    assert colours() == light
    page.reload()
    expect(page.locator(LINE).first).to_be_visible()
    assert colours() == light


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The address of an API that asks for keys, and a key."""
    with (
        redis_process(tmp_path) as redis,
        api_process(tmp_path, auth="true", redis_url=redis) as port,
    ):
        client = connect(redis)
        yield f"http://127.0.0.1:{port}", KeyStore(client).create("ours", Role.READ)[1]
        client.close()


@pytest.mark.slowest
def test_a_key_is_asked_for_and_kept_in_the_tab_alone(page: Page, watch: Watch, guarded: tuple[str, str]) -> None:
    address, key = guarded
    watch.refusals |= {401}
    page.goto(address)
    field = page.get_by_label("Key", exact=True)
    expect(field).to_be_focused()
    accessible(page)
    field.fill("lrs_wrong")
    page.keyboard.press("Enter")
    expect(field).to_be_focused()
    expect(field).to_have_value("")
    field.fill(key)
    page.get_by_role("button", name="Use this key").click()
    expect(page.locator(LINE).first).to_be_visible()
    expect(field).to_have_count(0)
    page.get_by_role("tab", name="curl").click()
    expect(page.get_by_role("tabpanel")).to_contain_text('-H "Authorization: Bearer $LRSERVE_KEY"')
    assert key not in page.content()
    assert page.evaluate("localStorage.length") == 0
    with page.expect_download() as kept:
        page.get_by_role("button", name="PNG").click()
    assert kept.value.path().read_bytes().startswith(b"\x89PNG")  # a link could not have sent the key

    watch.refusals.clear()
    page.reload()
    expect(page.locator(LINE).first).to_be_visible()
    watch.check()
    page.goto("about:blank")  # what it asks for goes on until it is left, and this service ends before the page does


@pytest.mark.slowest
def test_a_service_that_is_away_is_told_of_and_asked_again(page: Page, watch: Watch) -> None:
    page.goto("/")
    expect(page.locator(LINE).first).to_be_visible()
    expect(page.locator(".connection")).to_contain_text("Online")
    before = page.locator(LINE).first.get_attribute("d")

    watch.cut = True
    page.context.set_offline(True)
    page.get_by_role("slider", name="max_lr").press("ArrowLeft")
    expect(page.locator(".connection")).to_contain_text("Offline")
    expect(page.locator(".editor .problems")).to_contain_text("The service does not answer")
    accessible(page)
    page.context.set_offline(False)
    expect(page.locator(".connection")).to_contain_text("Online")
    expect(page.locator(".editor .problems")).to_be_empty()
    waits(page, f"old => document.querySelector('{LINE}').getAttribute('d') !== old", before)
    watch.cut = False


@pytest.mark.slowest
def test_a_view_that_could_not_load_can_be_tried_again(page: Page, watch: Watch) -> None:
    watch.cut = True
    page.route("**/v1/schedules/OneCycleLR", lambda route: route.abort())
    page.goto("/")
    expect(page.get_by_role("alert").filter(has_text="The service does not answer").first).to_be_visible()
    page.unroute("**/v1/schedules/OneCycleLR")
    watch.cut = False
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("slider", name="max_lr")).to_be_visible()
