"""What keeps the dashboard's scripts small and their imports in order: no browser needed."""

from __future__ import annotations

import os.path
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests.web.javascript import imports, parts

WEB = Path(__file__).parents[2] / "api" / "web"
SCRIPTS = {path.relative_to(WEB).as_posix(): path.read_text() for path in sorted((WEB / "js").rglob("*.js"))}
PAGE = "js/main.js"
LINES = {"function": 60, "class": 250, "file": 400}
MODULES_OF_FOLDER = 12

SAMPLE = r"""
// function comment() {
export async function first({a, b = {}}, c = "}") {
  if (a) { return `{${b ? `${[c].map((d) => { return d; })}` : "`"}`; }
  for (const e of /[/}]\/{/.exec(c) ?? []) { e / 2 / a; }
}
const second = async (a) => h("{",
  a);
class Third {
  #own() { /* { */
    return {key: () => 1, other(x) {
      return x;
    }};
  }
  get it() { return this.x.map(y => y / 2); }
}
"""


@pytest.mark.parametrize("what", LINES)
def test_functions_classes_and_files_stay_small(what: str) -> None:
    lines: Counter[str] = Counter()
    for path, source in SCRIPTS.items():
        if what == "file":
            lines[path] = len(source.splitlines())
            continue
        functions, classes = parts(source)
        for part in functions if what == "function" else classes:
            lines[f"{path}:{part.line} {part.name}"] = part.lines

    for name, size in lines.most_common(5):
        print(f"{size:5} lines of at most {LINES[what]}: {name}")
    assert [name for name, size in lines.items() if size > LINES[what]] == []


def test_functions_and_classes_are_found_whatever_stands_around_them() -> None:
    functions, classes = parts(SAMPLE)

    found = {part.name: (part.line, part.lines) for part in functions if part.name != "=>"}
    assert found == {
        "first": (3, 4), "second": (7, 2), "#own": (10, 5), "key": (11, 1), "other": (11, 3), "it": (15, 1),
    }  # fmt: skip
    assert [(part.line, part.lines) for part in functions if part.name == "=>"] == [(4, 1), (15, 1)]
    assert [(part.name, part.line, part.lines) for part in classes] == [("class Third", 9, 8)]


def test_a_bracket_without_another_is_named_by_its_line() -> None:
    with pytest.raises(ValueError, match="line 2"):
        parts("f();\nfunction g() { return [1); }")


def test_a_folder_has_at_most_a_dozen_modules() -> None:
    modules = Counter(os.path.dirname(path) for path in SCRIPTS)

    assert {folder: n for folder, n in modules.items() if n > MODULES_OF_FOLDER} == {}


@cache
def imported(path: str) -> tuple[frozenset[str], frozenset[str]]:
    """The modules that a module imports: at once, and when it asks for them."""
    at_once, later = (
        frozenset(os.path.normpath(os.path.join(os.path.dirname(path), each)) for each in found)
        for found in imports(SCRIPTS[path])
    )
    return at_once, later


def needed(*paths: str) -> set[str]:
    """Some modules, with all that they import at once."""
    found: set[str] = set()
    left = list(paths)
    while left:
        path = left.pop()
        if path not in found:
            found.add(path)
            left += imported(path)[0]
    return found


def test_every_module_is_there_and_needed_by_the_page() -> None:
    views = imported(PAGE)[1]

    assert views
    assert needed(PAGE, *views) == SCRIPTS.keys()


def test_no_module_needs_itself() -> None:
    assert [path for path in SCRIPTS if path in needed(*imported(path)[0])] == []


def test_no_view_needs_another() -> None:
    """What views have in common lies outside of their folders."""
    for path in SCRIPTS:
        view = re.match(r"js/views/(\w+)", path)
        for each in imported(path)[0] if view else ():
            assert not each.startswith("js/views/") or each.startswith(f"js/views/{view[1]}/"), f"{path} imports {each}"


def test_the_page_preloads_what_it_needs_itself() -> None:
    """A view's modules come while the texts do: links to them would be paid for by all other views."""
    page = (WEB / "index.html").read_text()
    links = re.findall(r'<link rel="modulepreload" href="/web/([^"]+)">', page)

    assert len(links) == len(set(links))
    assert set(links) == needed(PAGE)
