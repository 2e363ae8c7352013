"""The dashboard's scripts as text: their functions, classes and imports. No browser needed."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from dataclasses import dataclass

TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
    |(?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
    |(?P<slash>/)
    |(?P<template>`)
    |(?P<brace>[{}])""",
    re.DOTALL | re.VERBOSE,
)
# after these a slash begins a regular expression; after anything else it divides
BEFORE_REGEX = re.compile(r"(?:^|[(,=:\[!&|?{;+*%<>~^-]|\b(?:return|typeof|case|of|in|yield|await))\s*$")
REGEX = re.compile(r"/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\[\n])+/[a-z]*")
TEXT = re.compile(r"(?:\\.|\$(?!\{)|[^`\\$])*(?P<end>`|\$\{)", re.DOTALL)  # of a template, up to its end or a value
PAIRS = dict(zip(")]}", "([{", strict=True))
STATEMENT = re.compile(r"\b(?:if|for|await|while|switch|catch|with)$")
FUNCTION = re.compile(r"(?:\bfunction\b[\s*]*)?([#\w$]*)$")  # and what stands before its parameters
NAMED = re.compile(r"([#\w$]+)\s*[:=]\s*(?:async\s*)?$")  # what stands before an arrow function that has a name
WORD = string.ascii_letters + string.digits + "_$"
CLASS = re.compile(r"\bclass\s+([\w$]+)[^{}()]*\{")
IMPORT = re.compile(r"""^(?:import|export)\b[^;]*?\bfrom "(\.[^"]+)";""", re.MULTILINE)
DYNAMIC = re.compile(r"""\bimport\("(\.[^"]+)"\)""")


@dataclass(frozen=True)
class Part:
    """A function or a class: its name, its first line and its number of lines."""

    name: str
    line: int
    lines: int


def parts(source: str) -> tuple[list[Part], list[Part]]:
    """All functions of a script, and all its classes. Raises ValueError if a bracket has none to it."""
    text = code(source)
    ends = _ends(text)
    functions = [
        Part(name, _line(text, start), text.count("\n", start, end) + 1) for name, start, end in _functions(text, ends)
    ]
    classes = [
        Part(
            f"class {match[1]}", _line(text, match.start()), text.count("\n", match.start(), ends[match.end() - 1]) + 1
        )
        for match in CLASS.finditer(text)
    ]
    return functions, classes


def imports(source: str) -> tuple[set[str], set[str]]:
    """The modules that a script imports, by their relative addresses: at once, and when it asks for them."""
    return set(IMPORT.findall(source)), set(DYNAMIC.findall(source))


def code(source: str) -> str:
    """The source without comments, and without what is in strings, templates and regular expressions."""
    found: list[str] = []
    _read(source, 0, found)
    return "".join(found)


def _read(source: str, at: int, found: list[str], in_template: bool = False) -> int:
    """Read code from a place on, to the end; in a template's value, to the brace that ends it. Returns where."""
    depth = 0
    while match := TOKEN.search(source, at):
        found.append(source[at : match.start()])
        at = match.end()
        if match["brace"]:
            found.append(match[0])
            depth += 1 if match[0] == "{" else -1
            if in_template and depth < 0:
                return at
        elif match["template"]:
            at = _template(source, at, found)
        elif not match["slash"]:
            found.append(_blank(match[0], " " if match["comment"] else "'"))
        elif BEFORE_REGEX.search("".join(found[-9:])) and (regex := REGEX.match(source, match.start())):
            found.append(_blank(regex[0], "'"))
            at = regex.end()
        else:
            found.append("/")
    found.append(source[at:])
    return len(source)


def _template(source: str, at: int, found: list[str]) -> int:
    """Read a template from its first character on. Returns where it ends."""
    found.append("'")
    while match := TEXT.match(source, at):
        found += [_blank(match[0].removesuffix(match["end"]), " "), match["end"].replace("`", "'")]
        if match["end"] == "`":
            return match.end()
        at = _read(source, match.end(), found, in_template=True)
    raise ValueError(f"the template in line {_line(source, at)} has no end")


def _blank(text: str, by: str) -> str:
    return re.sub(r"[^\n]", by, text)


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _ends(text: str) -> dict[int, int]:
    """Where the bracket ends that begins at a place, and the other way about."""
    open_: list[int] = []
    ends = {}
    for match in re.finditer(r"[(){}\[\]]", text):
        if match[0] in "([{":
            open_.append(match.start())
        elif not open_ or text[open_[-1]] != PAIRS[match[0]]:
            raise ValueError(f"nothing begins where {match[0]} ends it in line {_line(text, match.start())}")
        else:
            begin = open_.pop()
            ends |= {begin: match.start(), match.start(): begin}
    if open_:
        raise ValueError(f"the bracket in line {_line(text, open_[-1])} has no end")
    return ends


def _functions(text: str, ends: dict[int, int]) -> Iterator[tuple[str, int, int]]:
    """The name of each function, where it begins and where it ends."""
    for match in re.finditer(r"\)\s*\{", text):  # function f() {}, and methods
        begin = ends[match.start()]
        before = text[:begin].rstrip()
        if not STATEMENT.search(before):
            named = FUNCTION.search(before)
            assert named
            yield named[1] or "function", named.start(), ends[match.end() - 1]
    for match in re.finditer(r"=>\s*", text):
        before = text[: match.start()].rstrip()
        begin = ends[len(before) - 1] if before.endswith(")") else len(before.rstrip(WORD))
        named = NAMED.search(text[:begin])
        yield named[1] if named else "=>", begin, _end_of_arrow(text, match.end(), ends)


def _end_of_arrow(text: str, at: int, ends: dict[int, int]) -> int:
    """Where the body of an arrow function ends."""
    if text[at] == "{":
        return ends[at]
    while at < len(text) and text[at] not in ",;)]}":
        at = ends[at] + 1 if text[at] in "([{" else at + 1
    return at
