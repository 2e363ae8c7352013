"""What the documentation shows: its shell commands and Python blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("README*.md"), ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *(ROOT / "docs").glob("*.md")]
)
BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A block of code.

    Attributes:
        where: its page and first line, such as README.md:17.
    """

    where: str
    language: str
    text: str


class Command(NamedTuple):
    """One command of a shell block, without its comment."""

    where: str
    text: str


def blocks(page: Path, text: str | None = None) -> Iterator[Block]:
    """All of a page."""
    text = page.read_text("utf-8") if text is None else text
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start()) + 2
        yield Block(f"{page.relative_to(ROOT)}:{line}", match[1], match[2])


def commands(block: Block) -> Iterator[Command]:
    """The commands of a shell block: lines, unless a quote or a backslash takes one on to the next."""
    page, _, line = block.where.rpartition(":")
    number, start, text, quote = int(line), int(line), "", ""
    rest = iter(block.text)
    for sign in rest:
        if sign == "#" and not quote and (not text or text[-1].isspace()):
            sign = next((other for other in rest if other == "\n"), "\n")
        number += sign == "\n"
        if sign == "\\" and quote != "'":
            following = next(rest, "")
            number += following == "\n"
            text += " " if following == "\n" else sign + following
        elif sign == "\n" and not quote:
            if text.strip():
                yield Command(f"{page}:{start}", text.strip())
            text, start = "", number
        else:
            quote = "" if sign == quote else quote or (sign if sign in "'\"" else "")
            text += sign


def shell(pages: list[Path] = PAGES) -> list[Command]:
    """Every command of every page."""
    languages = ("sh", "bash", "shell", "console")
    return [c for page in pages for b in blocks(page) if b.language in languages for c in commands(b)]


def python(pages: list[Path] = PAGES) -> list[Block]:
    """Every Python block of every page."""
    return [block for page in pages for block in blocks(page) if block.language == "python"]
