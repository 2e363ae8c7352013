"""The page in Chinese: also what the API has only in English, as far as there is a translation of it."""

from __future__ import annotations

import httpx
import pytest
from playwright.sync_api import Page, Request, Route, expect

from tests.web.conftest import Watch
from tests.web.curves import COSINE, STEP, address

CATALOGUE = "/web/texts/catalogue/zh.json"
CHINESE = "localStorage.setItem('lrserve.language', 'zh')"
# All that the forms of every member of a catalogue, and of every kind of job, say to their fields
HELP = """async () => {
  const {form} = await import("/web/js/form.js");
  const {kinds, members} = await (await import("/web/js/spec.js")).kinds();
  const schemas = [
    ...Object.values(members).map((each) => [each.parameters, each.example]),
    ...Object.values(kinds).map((each) => [each.schema, {}]),
  ];
  return schemas.flatMap(([schema, value]) => {
    const made = form(schema, {value: value ?? {}, catalogue: members});
    document.querySelector("main").replaceChildren(made.element);
    for (let unset; (unset = made.element.querySelector(".optional > .check > input:not(:checked)"));) unset.click();
    return [...made.element.querySelectorAll(".help")].map((each) => each.textContent);
  });
}"""


@pytest.fixture
def chinese(http: httpx.Client) -> dict[str, str]:
    found: dict[str, str] = http.get(CATALOGUE).json()
    return found


def options(page: Page, name: str) -> list[str]:
    """What the picker of that name says of each of its members."""
    page.get_by_role("combobox", name=name).first.click()
    found = page.locator(".option-text")
    expect(found.nth(10)).to_be_visible()
    return found.all_inner_texts()


@pytest.mark.slowest
def test_what_the_catalogues_say_is_shown_in_chinese_wherever_there_is_a_translation(
    page: Page, chinese: dict[str, str]
) -> None:
    asked: list[str] = []

    def listen(request: Request) -> None:
        asked.append(request.url)

    page.on("request", listen)
    page.goto("/")
    summaries, texts = options(page, "Schedule"), page.evaluate(HELP)
    assert not any("catalogue" in url for url in asked), "an English page has no use for it"
    page.evaluate(CHINESE)
    page.reload()
    shown = options(page, "调度")

    assert shown == [chinese.get(each, each) for each in summaries]
    assert shown != summaries
    assert page.evaluate(HELP) == [chinese.get(each, each) for each in texts]
    assert len(set(texts) & chinese.keys()) > 100


def test_a_schedule_is_described_and_found_in_chinese(page: Page) -> None:
    page.add_init_script(CHINESE)
    page.goto(address(STEP, COSINE))
    about = page.locator(".about")
    expect(about).to_contain_text("每 step_size 步将学习率乘以 gamma")
    expect(page.get_by_role("textbox", name="step_size")).to_have_accessible_description("相邻两次下降之间的步数")
    picker = page.get_by_role("combobox", name="调度")
    for words in ("热重启", "warm restarts"):  # the English text is searched, too
        picker.fill(words)
        expect(page.get_by_role("listbox").get_by_role("option").first).to_contain_text("CosineAnnealingWarmRestarts")
    picker.press("Escape")
    page.get_by_role("tab", name="timm").click()
    expect(page.get_by_role("tabpanel").locator("li")).to_have_text("调用 step(t) 时传入下一步的序号")


@pytest.mark.slowest
def test_what_is_doubted_and_what_is_wrong_are_said_in_chinese_with_their_numbers(page: Page, watch: Watch) -> None:
    watch.refusals |= {422}
    page.add_init_script(CHINESE)
    parts = [{"type": "ConstantLR", "factor": 0.1, "total_iters": 50}, {"type": "ExponentialLR", "gamma": 0.9}]
    jump = {"type": "SequentialLR", "schedulers": parts, "milestones": [20]}
    wrong = {"type": "MultiStepLR", "milestones": [30, 10], "gamma": 0.5}
    curves = [{"name": name, "schedule": each, "base_lr": 0.1} for name, each in (("jump", jump), ("wrong", wrong))]
    page.goto(address(*curves, at=1))
    field = page.get_by_role("textbox", name="milestones")
    expect(field).to_have_accessible_description("各次下降后的第一步，递增 milestones 必须递增，但 10 在 30 之后")
    expect(page.locator(".note.warn")).to_have_text("跳变 （第 20 步）：在前后两部分的交接处，学习率从 0.01 跳到 0.1")


@pytest.mark.slowest
def test_a_text_without_a_translation_or_with_one_of_an_older_text_is_english(
    page: Page, chinese: dict[str, str]
) -> None:
    summary, field = "multiplies the rate by gamma every step_size steps", "steps between two drops"
    kept = {key: text for key, text in chinese.items() if key != summary}
    kept[field + ", once"] = kept.pop(field)

    def answer(route: Route) -> None:
        route.fulfill(json=kept)

    page.route(f"**{CATALOGUE}", answer)
    page.add_init_script(CHINESE)
    page.goto(address(STEP))
    expect(page.locator(".about")).to_contain_text("Multiplies the rate by gamma every step_size steps")
    expect(page.get_by_text(field)).to_be_visible()
    expect(page.get_by_role("heading", name="学习率调度", level=1)).to_be_visible()
