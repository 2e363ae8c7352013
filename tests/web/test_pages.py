"""That the browser can be driven, and that whatever a page complains of is heard."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.web.conftest import Watch, accessible

COMPLAINTS = {
    "console.error('told')": "told",
    "setTimeout(() => { throw new Error('thrown') })": "thrown",
    "fetch('/v1/jobs/none')": "404",
    "fetch('http://127.0.0.1:1/').catch(() => null)": "policy violated: connect-src",
}


def heard(page: Page, watch: Watch) -> str:
    """What `watch` fails with, once it does."""
    for _ in range(600):
        try:
            watch.check()
        except AssertionError as error:
            return str(error)
        page.wait_for_timeout(50)
    return ""


def test_whatever_a_page_complains_of_fails_the_test(page: Page, watch: Watch) -> None:
    page.goto("/docs")
    expect(page).to_have_title("lrserve")
    for bad, complaint in COMPLAINTS.items():
        page.evaluate(f"() => {{ {bad} }}")
        assert complaint in heard(page, watch)
        watch.complaints.clear()
        page.evaluate("window.violations = []")
    page.evaluate("document.body.append(document.createElement('img'))")
    with pytest.raises(AssertionError, match="image-alt"):
        accessible(page)
