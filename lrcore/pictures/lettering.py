"""Names that users gave, as text in a picture: literally, whole or shortened, and in letters that its fonts have."""

from __future__ import annotations

import importlib.util
import unicodedata
from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lrcore.text import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend
    from matplotlib.text import Text

LONGEST = 60  # columns of a name, of which a Chinese character takes two
END = 20  # columns of a shortened name's end: names of variants differ there
ENTRY = 0.19  # inches of a row of a legend below
FAMILY = "DejaVu Sans"  # matplotlib's own
WIDE = ("W", "F")
SILENT = ("Cf", "Mn", "Me", "Sk")  # joiners, selectors and modifiers, which without their character say nothing


def write(text: Text, name: str, longest: int = LONGEST) -> None:
    """Set a text of a picture to a name, shortened to at most `longest` columns.

    What matplotlib takes for mathematics stays as it is. Chinese, Japanese and Korean come from a font of their own; a
    character that no font has is written as its name in Unicode, as in :rocket:.
    """
    from matplotlib import font_manager  # noqa: PLC0415 - as in lrcore.pictures.figure

    latin, others = _letters(font_manager.findfont(FAMILY)), _others()
    shown = "".join(c if ord(c) in latin or ord(c) in others.letters else _spelt(c) for c in visible(name))
    text.set_text(shortened(shown, longest))
    text.set_parse_math(False)
    if others.family and not all(ord(c) in latin for c in shown):
        text.set_fontfamily([FAMILY, others.family])


def legend(owner: Axes | Figure, handles: Sequence[Any], names: Sequence[str], **options: Any) -> Legend:
    """Draw a legend of lines, or of what stands for them, and their names."""
    made = owner.legend(handles, [" "] * len(names), **options)  # it would leave out names that begin with _
    for text, name in zip(made.get_texts(), names, strict=True):
        write(text, name)
    return made


def legend_below(figure: Figure, handles: Sequence[Any], names: Sequence[str], **options: Any) -> None:
    """Draw a legend below the axes, for which the figure grows."""
    options |= {"loc": "outside lower center", "frameon": False, "fontsize": 8}
    figure.set_layout_engine("constrained")
    columns = 2 if len(names) > 1 else 1
    made = legend(figure, handles, names, ncols=columns, **options)
    if columns == 2 and made.get_window_extent().width > figure.bbox.width:
        made.remove()
        columns = 1
        legend(figure, handles, names, ncols=columns, **options)
    across, height = figure.get_size_inches()
    figure.set_size_inches(across, height + ENTRY * (1 + -(-len(names) // columns)))


def shortened(name: str, longest: int = LONGEST) -> str:
    """A name of at most so many columns: its beginning, … and its end."""
    if width(name) <= longest:
        return name
    end = min(END, longest // 3)
    return f"{_beginning(name, longest - end - 1)}…{_beginning(name[::-1], end)[::-1]}"


def width(name: str) -> int:
    """How wide a name is, in Latin letters."""
    return sum(map(_width, name))


def _width(character: str) -> int:
    return 2 if unicodedata.east_asian_width(character) in WIDE else 1


def _beginning(name: str, most: int) -> str:
    return "".join(c for c, end in zip(name, accumulate(map(_width, name)), strict=True) if end <= most)


def _spelt(character: str) -> str:
    if unicodedata.category(character) in SILENT:
        return ""
    named = unicodedata.name(character, f"U+{ord(character):04X}")
    return f":{named.lower().replace(' ', '_')}:"


class _Font(NamedTuple):
    """A font beside matplotlib's own.

    Attributes:
        family: its name; empty if there is none.
        letters: code points that it has.
    """

    family: str
    letters: frozenset[int]


@cache
def _others() -> _Font:
    """Noto Sans CJK, from the wheel that carries it."""
    from matplotlib import font_manager  # noqa: PLC0415 - as in lrcore.pictures.figure

    found = importlib.util.find_spec("notojp_matplotlib")  # which would set matplotlib's fonts if it were imported
    if found is None or found.origin is None:
        return _Font("", frozenset())
    file = next((Path(found.origin).parent / "fonts").glob("*.otf"))
    font_manager.fontManager.addfont(file)
    return _Font(font_manager.FontProperties(fname=file).get_name(), _letters(str(file)))


@cache
def _letters(file: str) -> frozenset[int]:
    from matplotlib import font_manager  # noqa: PLC0415 - as in lrcore.pictures.figure

    return frozenset(font_manager.get_font(file).get_charmap())
