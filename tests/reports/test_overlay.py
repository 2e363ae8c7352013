"""An experiment as a picture. What it looks like, only eyes can tell."""

from __future__ import annotations

import struct
from xml.etree import ElementTree

import numpy as np
import pytest

from lrcore.reports.overlay import COLORS, Line, draw_experiment, steps

EPOCHS, PER_EPOCH = 4, 5


def line(rank: int, end: float = 0.9, **changes: object) -> Line:
    grown = end - 0.3 * 0.5 ** np.arange(EPOCHS)
    seeds = np.random.default_rng(rank).normal(0, 0.005, (3, EPOCHS))
    rates = steps(np.linspace(0.1 / rank, 0, EPOCHS * PER_EPOCH), PER_EPOCH)
    given = {"rates": rates, "accuracy": grown + seeds}
    return Line(label=f"lr={0.1 / rank:.3g}", rank=rank, **(given | changes))  # type: ignore[arg-type]


def texts(svg: bytes) -> list[str]:
    """What is written in a picture; letters are drawn as paths, with the text in a comment before them."""
    builder = ElementTree.TreeBuilder(insert_comments=True)
    root = ElementTree.fromstring(svg, ElementTree.XMLParser(target=builder))
    return [(found.text or "").strip() for found in root.iter(ElementTree.Comment)]  # type: ignore[arg-type]


def size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def test_a_png_has_room_for_its_legend() -> None:
    one, ten = (size(draw_experiment("runs", [line(i + 1) for i in range(n)], "png")) for n in (1, 10))

    assert one[0] == ten[0] == 800
    assert one[1] < ten[1]


def test_the_first_ten_by_rank_are_named_in_their_order() -> None:
    lines = [line(rank) for rank in (12, 3, 1, 2, *range(4, 12))]

    found = texts(draw_experiment("mlp on digits", lines, "svg", more=30))

    named = [text for text in found if "lr=" in text]
    assert named == [f"{each.rank}. {each.label}" for each in sorted(lines, key=lambda each: each.rank)[: len(COLORS)]]
    assert {"mlp on digits", "and 32 more", "test accuracy", "learning rate", "epochs finished"} <= set(found)


@pytest.mark.parametrize(
    ("count", "more", "said"), [(10, 0, []), (11, 0, ["and 1 more"]), (2, 7, ["and 7 more"]), (0, 0, [])]
)
def test_the_rest_is_counted(count: int, more: int, said: list[str]) -> None:
    found = texts(draw_experiment("runs", [line(i + 1) for i in range(count)], "svg", more=more))

    assert [text for text in found if "more" in text] == said


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([line(1, 0.9), line(2, 0.89), line(3, accuracy=np.full((3, EPOCHS), 0.1))], ["below: 1 line"]),
        ([line(1, 0.9), line(2, 0.89)], []),
        ([line(1, 0.9)], []),
    ],
)
def test_what_the_axis_leaves_out_is_said(lines: list[Line], said: list[str]) -> None:
    found = texts(draw_experiment("runs", lines, "svg"))

    assert [
        text.split(" and ")[0] for text in found if text.startswith("below: 1") or text.startswith("below: 2")
    ] == said


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [line(1, accuracy=np.full((3, EPOCHS), np.nan))],
        [line(1, accuracy=np.empty((3, 0))), line(2, accuracy=np.empty((0, EPOCHS)), rates=None)],
    ],
)
def test_without_an_accuracy_the_picture_says_so(lines: list[Line]) -> None:
    assert "no finished epoch" in texts(draw_experiment("runs", lines, "svg"))


def test_what_is_missing_is_left_out_without_a_warning() -> None:
    gaps = line(1).accuracy.copy()
    gaps[:, 1] = gaps[1:, 2] = np.nan
    lines = [
        line(1, accuracy=gaps),
        line(2, rates=None),
        line(3, accuracy=gaps[:1]),
        line(4, rates=steps(np.zeros(3), PER_EPOCH)),
    ]

    assert "no finished epoch" not in texts(draw_experiment("runs", lines, "svg"))


def test_names_are_no_formulas_and_no_markup() -> None:
    label = "_$x^{$ <b> & --"

    found = texts(draw_experiment(label, [line(1), line(1, rates=steps(np.full(9, 3.0), 2))], "svg"))
    assert any("$x^{$" in text for text in found)
    assert size(draw_experiment(label, [Line(label, 1, None, np.ones((1, 1)))], "png"))


def test_the_same_experiment_has_the_same_bytes() -> None:
    lines = [line(1), line(2)]

    assert draw_experiment("runs", lines, "svg") == draw_experiment("runs", lines, "svg")
