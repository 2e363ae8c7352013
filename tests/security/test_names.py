"""Names of users are text, never markup: in pictures, in tables and in whatever else the API says."""

from __future__ import annotations

import csv
import io
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lrcore.curve import CurveRequest, sample
from lrcore.pictures.figure import new_figure
from lrcore.pictures.lettering import legend, shortened, width, write
from lrcore.text import FORMULA, visible
from lrserve.api.encoding.pictures import draw_curves
from tests.examples import examples
from tests.factories import job_spec

STEP = {"type": "StepLR", "step_size": 5}
CURVE = sample(CurveRequest.model_validate({"schedule": STEP, "base_lr": 0.1, "steps": 20}))
LITERAL = (
    *("$lr_0_1$", r"$\foo$", "$%$", "$x^2^3$", "cost $5 vs $6", "_baseline", "__x", "<b>a</b>", "{0}", "%s", r"\alpha"),
    *("学习率：余弦", "學習率", "ひらがな カタカナ", "학습률", "скорость", "ρυθμός", "=1+1", "'", "a&amp;b", "#"),
)
names = st.one_of(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60), st.sampled_from(LITERAL))


@pytest.mark.parametrize("name", LITERAL)
def test_a_name_in_a_picture_is_the_name(name: str) -> None:
    (axes,) = new_figure([2]).axes
    made = legend(axes, axes.plot([0, 1], [0, 1]), [name])
    write(axes.title, name)
    for text in (*made.get_texts(), axes.title):
        assert text.get_text() == name
        assert not text.get_parse_math()


@pytest.mark.filterwarnings("error")
def test_every_letter_of_a_picture_is_in_a_font() -> None:
    """Matplotlib warns of each that is not."""
    written = [*LITERAL, "🚀 👍🏽 ✅", "\U000e0001\ufdd0\ue000", "a\nb\t\x1b[31m\u202ec"]
    assert draw_curves([(name, CURVE) for name in written], "学 $a$", "png", "linear").startswith(b"\x89PNG")


def test_what_no_font_has_is_spelt() -> None:
    (axes,) = new_figure([2]).axes
    write(axes.title, "run 🚀 👍🏽")
    assert axes.title.get_text() == "run :rocket: :thumbs_up_sign:"


@settings(max_examples=examples(50), deadline=None)
@given(st.lists(names, min_size=1, max_size=3))
def test_any_names_can_be_drawn(several: list[str]) -> None:
    draw_curves([(name, CURVE) for name in several], several[0], "svg", "log")


@given(names, st.integers(5, 80))
def test_a_shortened_name_fits_and_keeps_its_ends(name: str, longest: int) -> None:
    short = shortened(name, longest)
    assert width(short) <= max(longest, width(name) if short == name else 0)
    if short != name:
        begin, _, end = short.partition("…")
        assert name.startswith(begin)
        assert name.endswith(end.split("…")[-1])


@pytest.mark.parametrize("count", [2, 9, 40])
@pytest.mark.parametrize("name", ["x", "W" * 30, "W" * 200, "学" * 200])
def test_a_legend_stays_within_its_picture(count: int, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr("lrserve.api.encoding.pictures.encoded", lambda figure, form: drawn.append(figure))
    draw_curves([(name, CURVE)] * count, "", "png", "linear")
    (figure,) = drawn
    figure.draw_without_rendering()
    (made,) = figure.legends or [figure.axes[0].get_legend()]
    box = made.get_window_extent()
    assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
    assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1


def compared(*several: str) -> dict[str, Any]:
    return {"steps": 3, "curves": [{"name": name, "schedule": STEP, "base_lr": 0.1} for name in several]}


@pytest.mark.parametrize("begin", FORMULA)
def test_no_cell_of_a_table_is_a_formula(begin: str, http: httpx.Client) -> None:
    answer = http.post("/v1/curves/compare", params={"format": "csv"}, json=compared(f"{begin}cmd|' /C calc'!A0"))
    assert answer.status_code == 200, answer.text
    header = next(csv.reader(io.StringIO(answer.text)))
    assert header == ["step", f"'{begin}cmd|' /C calc'!A0"]


def requests(http: httpx.Client, text: str) -> list[httpx.Request]:
    """Everything that takes a text of somebody's own."""
    part = quote(text, safe="")
    header = {"Idempotency-Key": visible(text).encode("ascii", "backslashreplace").decode()}
    job, experiment = job_spec(labels=[text]), {"name": text, "base": job_spec(), "grid": {"lr": [0.1, 0.2]}}
    hook = {"url": f"https://example.org/{text}", "events": [text]}
    paths = ("jobs", "experiments", "schedules", "curves", "webhooks", "jobs/x/artifacts")
    return [
        http.build_request("POST", "/v1/curves/compare", json=compared(text)),
        http.build_request("POST", "/v1/curves/compare", params={"format": "csv"}, json=compared(text)),
        http.build_request("POST", "/v1/jobs?dry_run=true", json=job, headers=header),
        http.build_request("POST", "/v1/experiments?dry_run=true", json=experiment),
        http.build_request("POST", "/v1/webhooks", json=hook),
        http.build_request("POST", "/v1/curves", json={"schedule": {"type": text}, "steps": 2, "base_lr": 1}),
        http.build_request("GET", "/v1/jobs", params={"label": text, "cursor": text, "state": text}),
        http.build_request("GET", "/v1/curves", params={"spec": text, "steps": text}),
        *(http.build_request("GET", f"/v1/{path}/{part}") for path in paths),
    ]


@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=names)
def test_no_text_is_a_fault_and_each_is_kept_as_it_is(http: httpx.Client, text: str) -> None:
    answers = [http.send(request) for request in requests(http, text)]
    assert [answer.status_code for answer in answers if answer.status_code >= 500] == []
    if answers[0].status_code == 200:
        assert answers[0].json()["curves"][0]["name"] == text


def test_names_are_drawn_by_the_service(http: httpx.Client) -> None:
    for form in ("png", "svg"):
        answer = http.post("/v1/curves/compare", params={"format": form}, json=compared(*LITERAL))
        assert answer.status_code == 200, answer.text
