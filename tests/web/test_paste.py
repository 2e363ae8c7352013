"""The box of the view of schedules to paste into. What it makes of a text is held against what the API answers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.web.conftest import Watch, accessible, waits
from tests.web.curves import COSINE, DRAWN, STEP, drawn, open_, requests

DEEPSPEED = {
    "train_batch_size": 32,
    "optimizer": {"type": "AdamW", "params": {"lr": 3e-5}},
    "scheduler": {
        "type": "WarmupDecayLR",
        "params": {"warmup_max_lr": 3e-5, "warmup_num_steps": 100, "total_num_steps": 1000},
    },
}
YAML = "optimizer:\n  lr: 0.1\nlr_scheduler: cosine\n"


class Box:
    """The box, opened by keyboard."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.text = page.get_by_role("textbox", name="Text")
        page.get_by_text("Paste a config, a lambda, or a log").press("Enter")
        expect(self.text).to_be_visible()

    @property
    def part(self) -> Locator:
        return self.page.locator("details.paste")

    @property
    def taken(self) -> Locator:
        """What the text was taken for."""
        return self.part.get_by_role("status")

    @property
    def problems(self) -> Locator:
        """Why it was refused."""
        return self.part.get_by_role("alert")

    def read(self, text: str) -> None:
        """Paste a text, and go on to the button by keyboard."""
        self.text.fill(text)
        self.text.press("Tab")
        expect(self.page.get_by_role("button", name="Read and add")).to_be_focused()
        self.page.keyboard.press("Enter")

    def takes(self, text: str, *about: str) -> None:
        """Paste a text, and wait for what the box says of it."""
        self.read(text)
        for each in about:
            expect(self.taken).to_contain_text(each)
        expect(self.text).to_have_value("")
        expect(self.problems).to_be_empty()

    def refuses(self, text: str, *about: str) -> None:
        """Paste a text, and wait for what is wrong with it. The text stays, and no curve is added."""
        curves = self.page.get_by_role("radio").count()
        self.read(text)
        for each in about:
            expect(self.problems).to_contain_text(each)
        expect(self.text).to_have_value(text)
        expect(self.text).to_have_attribute("aria-invalid", "true")
        assert self.page.get_by_role("radio").count() == curves


def chosen(page: Page) -> str:
    """The name of the curve that is chosen."""
    return page.get_by_role("radio", checked=True).locator("..").locator(".curve-name").inner_text()


def test_a_configuration_becomes_the_curve_that_the_api_reads_in_it(
    page: Page, http: httpx.Client, watch: Watch, look: Callable[[str], None]
) -> None:
    open_(page, COSINE)
    box = Box(page)
    box.takes(json.dumps(DEEPSPEED), "Read as the configuration of a framework", "Framework: DeepSpeed")
    wanted = http.post("/v1/schedules/read", json={"config": DEEPSPEED}).json()
    assert requests(page) == {"schedule": wanted["schedule"], "base_lr": wanted["base_lr"], "steps": 100}
    expect(box.taken).to_contain_text(wanted["notes"][0])
    assert chosen(page) == "DeepSpeed"
    drawn(page, http, "DeepSpeed", requests(page))
    look("pasted")

    page.get_by_role("button", name="Show 1,000 steps").press("Enter")
    expect(box.text).to_be_focused()
    expect(page.get_by_role("textbox", name="steps", exact=True)).to_have_value("1000")
    drawn(page, http, "DeepSpeed", requests(page) | {"steps": 1000})

    watch.refusals |= {422}  # the API asks for what the text has not, and the page has
    flags = "python train.py --lr-scheduler-type cosine --learning-rate 2e-5 --warmup-steps 50"
    box.takes(flags, "flags of a command line", "Framework: transformers", "no total_steps: 1000, from this page")
    wanted = http.post("/v1/schedules/read", json={"config": flags, "total_steps": 1000}).json()
    assert requests(page) == {"schedule": wanted["schedule"], "base_lr": wanted["base_lr"], "steps": 1000}


@pytest.mark.slowest
def test_a_lambda_and_a_schedule_of_lrserve_become_curves(page: Page, http: httpx.Client, watch: Watch) -> None:
    watch.refusals |= {422}
    open_(page, COSINE)
    box = Box(page)
    box.takes("lr_lambda=lambda epoch: 0.95 ** epoch,", "lambda for LambdaLR", "no base_lr: 0.2, from this page")
    assert chosen(page) == "LambdaLR"
    request = {"schedule": {"type": "LambdaLR", "lr_lambda": "lambda epoch: 0.95 ** epoch"}, "base_lr": 0.2}
    assert requests(page) == {**request, "steps": 100}
    drawn(page, http, "LambdaLR", requests(page))

    spec = {"schedule": STEP["schedule"], "base_lr": 0.3, "steps": 40}
    box.takes(json.dumps(spec), "Read as an lrserve schedule", "40 steps")
    assert requests(page) == {**spec, "steps": 100}
    drawn(page, http, "StepLR", requests(page))


@pytest.mark.slow
def test_what_the_page_cannot_read_comes_in_by_way_of_the_command_that_it_names(page: Page, tmp_path: Path) -> None:
    open_(page, COSINE)
    box = Box(page)
    text = "SOLVER:\n  BASE_LR: 0.02\n  STEPS: [60, 80]\n  MAX_ITER: 90\n"
    box.refuses(text, "lrserve read --json FILE")
    file = tmp_path / "config.yaml"
    file.write_text(text)
    command = [sys.executable, "-m", "lrserve", "read", "--json", str(file)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    box.takes(output, "Read as an lrserve schedule", "90 steps")
    assert requests(page)["schedule"] == json.loads(output)["schedule"]
    assert requests(page)["base_lr"] == 0.02


LR = [0.1 * 0.5 ** (step // 20) for step in range(100)]
LOGS = {
    "numbers": "\n".join(map(repr, LR)),
    "csv": "step,train/learning_rate\n" + "\n".join(f"{step},{lr!r}" for step, lr in enumerate(LR)),
    "excel": "step;lr\n" + "\n".join(f"{step};{lr!r}".replace(".", ",") for step, lr in enumerate(LR)),
    "trainer_state": '{"log_history": ['  # Python writes NaN
    + ", ".join(f'{{"step": {step}, "loss": NaN, "learning_rate": {lr!r}}}' for step, lr in enumerate(LR))
    + ', {"step": 99, "eval_loss": 1.0}]}',
    "lines": "\n".join(json.dumps({"lr": lr, "step": step}) for step, lr in enumerate(LR)),
}


@pytest.mark.slow
@pytest.mark.parametrize("log", LOGS)
def test_the_schedule_behind_a_log_is_found(page: Page, http: httpx.Client, log: str) -> None:
    open_(page, COSINE)
    Box(page).takes(LOGS[log], "Read as a log of rates", "reproduces all 100 rates exactly")
    request: dict[str, Any] = requests(page)
    best = http.post("/v1/schedules/fit", json={"lr": LR, "step": list(range(100))}).json()["fits"][0]
    assert (request["schedule"], request["base_lr"]) == (best["schedule"], best["base_lr"])
    assert http.post("/v1/curves", json=request).json()["lr"] == pytest.approx(LR, rel=1e-9)
    drawn(page, http, chosen(page), request)


@pytest.mark.slow
def test_a_text_that_is_refused_stays_with_the_reason_beside_it(
    page: Page, http: httpx.Client, watch: Watch, look: Callable[[str], None]
) -> None:
    watch.refusals |= {422}
    open_(page, COSINE)
    box = Box(page)
    wrong = json.loads(json.dumps(DEEPSPEED))
    wrong["scheduler"]["params"]["warmup_num_stepz"] = 1
    error = http.post("/v1/schedules/read", json={"config": wrong}).json()["errors"][0]
    box.refuses(json.dumps(wrong), "config.scheduler.params.warmup_num_stepz", error["msg"])
    two = {"first": DEEPSPEED["scheduler"], "second": DEEPSPEED["scheduler"]}
    box.refuses(json.dumps(two), "several parts of it have a schedule, first, second")
    box.refuses('{"a": 1}', "from", "unknown configuration", "with its framework")
    box.refuses('{"lr": [0.1, 0.2], "lr_scheduler": "fixed"}', "counts in epochs", "Set steps_per_epoch at the chart")
    box.refuses("lambda epoch: exit()", "schedule.", "lr_lambda")
    box.refuses("step,lr\n0,0.1\n1,high", "Row 2: lr is not a number")
    box.refuses(YAML, "not JSON", "lrserve read --json FILE")
    expect(box.problems.get_by_role("link", name="API documentation")).to_have_attribute(
        "href", "/docs#/schedules/read_config"
    )
    look("refused")


@pytest.mark.slowest
def test_a_text_of_more_than_a_megabyte_is_not_taken(page: Page, watch: Watch) -> None:
    open_(page, COSINE)
    box = Box(page)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    for size, left, problem in (2**20 + 1, 0, "larger than 1 MB"), (2**20, 2**20, "^$"):
        page.evaluate("size => navigator.clipboard.writeText('0'.repeat(size))", size)
        box.text.press("ControlOrMeta+v")
        expect(box.problems).to_have_text(re.compile(problem))
        waits(page, f"document.querySelector('.paste textarea').value.length === {left}")
    box.text.evaluate("area => { area.value += '0'; }")
    page.get_by_role("button", name="Read and add").click()
    expect(box.problems).to_contain_text("larger than 1 MB")


@pytest.mark.slowest
def test_what_is_pasted_is_text_wherever_it_is_shown(page: Page, watch: Watch) -> None:
    watch.refusals |= {422}
    open_(page, COSINE)
    box = Box(page)
    markup = '<img src="/none" onerror="window.ran = 1"><script>window.ran = 1</script>'
    box.refuses(json.dumps({"scheduler": {"type": "WarmupLR", "params": {markup: 1}}}), "<img")
    box.refuses(f"lr_{markup},lr_b\n1,2".replace(",", ";"), "<img")
    box.refuses(f"lambda epoch: {markup}", "lambda")
    box.refuses(json.dumps([1, markup]) + markup, "begins like JSON")
    box.takes('{"type": "StepLR", "step_size": 10, "gamma": 0.5}', "StepLR added")
    waits(page, f"({DRAWN})().some((each) => each.name === 'StepLR')")
    accessible(page)
    assert page.evaluate("[window.ran, document.querySelectorAll('main img, main script').length]") == [None, 0]
