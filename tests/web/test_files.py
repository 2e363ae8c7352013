"""The dashboard's files as they are served, and its texts: no browser needed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from lrcore.schedules import SCHEDULES
from lrserve import logs

WEB = Path(__file__).parents[2] / "api" / "web"
SCRIPTS = sorted((WEB / "js").rglob("*.js"))
LANGUAGES = sorted(path.stem for path in (WEB / "texts").glob("*.json"))


def texts(language: str) -> dict[str, str]:
    def flat(level: dict[str, Any], path: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, value in level.items():
            found |= flat(value, f"{path}{name}.") if isinstance(value, dict) else {path + name: value}
        return found

    return flat(json.loads((WEB / "texts" / f"{language}.json").read_text()), "")


def test_every_language_has_the_same_texts_with_the_same_values_in_them() -> None:
    assert "en" in LANGUAGES
    assert len(LANGUAGES) > 1
    english = texts("en")
    for language in LANGUAGES:
        other = texts(language)
        assert other.keys() == english.keys()
        for key, text in other.items():
            assert text.strip()
            assert sorted(re.findall(r"{\w+}", text)) == sorted(re.findall(r"{\w+}", english[key])), key


@pytest.mark.parametrize("path", sorted((WEB / "texts" / "catalogue").glob("*.json")), ids=lambda path: path.stem)
def test_translations_of_the_apis_texts_have_the_same_values_in_them(path: Path) -> None:
    pairs: list[tuple[str, str]] = json.loads(path.read_text(), object_pairs_hook=list)

    assert len(dict(pairs)) == len(pairs), "a text twice"
    for text, other in pairs:
        assert other.strip()
        assert sorted(re.findall(r"{\d}", text)) == sorted(re.findall(r"{\d}", other)), text


def test_every_text_that_the_scripts_ask_for_exists_and_none_is_left_over() -> None:
    code = "\n".join(path.read_text() for path in SCRIPTS)
    asked = set(re.findall(r'"([a-z_0-9]+(?:\.[\w-]+)+)"', code)) - {"lrserve.key", "lrserve.theme", "lrserve.language"}
    beginnings = tuple(set(re.findall(r"`([a-z_]+\.[\w-]*)\$\{", code)))  # t(`facts.${name}`)
    ends = tuple(set(re.findall(r"t\(`\$\{[\w.]+\}(\.\w+)`", code)))  # t(`${kind}.title`)
    english = texts("en").keys()
    files = {key for key in asked if key.endswith((".js", ".json"))}
    layout = {key for key in asked if key.startswith("xaxis.")}  # Plotly's

    assert asked - files - layout - english == set()
    assert [each for each in beginnings if not any(key.startswith(each) for key in english)] == []
    assert [key for key in english - asked if not (key.startswith(beginnings) or key.endswith(ends))] == []


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_no_script_makes_markup_from_text(path: Path) -> None:
    code = path.read_text()

    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "DOMParser"):
        assert way not in code


def test_the_page_names_files_that_are_there_and_has_no_script_or_style_in_itself(http: httpx.Client) -> None:
    page = http.get("/")

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert re.findall(r"<script>|<style|\son\w+=|\sstyle=|{\w+}", page.text) == []
    files = re.findall(r'(?:src|href)="(/[^"]+)"', page.text)
    assert len(files) > 5
    for file in files:
        assert http.get(file).is_success, file


def test_the_page_runs_scripts_and_styles_of_this_service_alone(http: httpx.Client) -> None:
    policy = http.get("/").headers["content-security-policy"]
    allowed = {name: values for name, *values in (part.split() for part in policy.split(";"))}

    assert allowed["default-src"] == ["'none'"]
    assert allowed["script-src"] == allowed["style-src"] == allowed["connect-src"] == ["'self'"]
    assert "unsafe" not in policy


def test_the_page_knows_every_schedule_that_follows_a_metric() -> None:
    code = (WEB / "js" / "views" / "schedules" / "entries.js").read_text()
    known = re.search(r"DRIVEN = new Set\(\[(.*?)\]\)", code)

    assert known is not None
    assert set(json.loads(f"[{known[1]}]")) == {name for name, cls in SCHEDULES.items() if cls.metric_driven}


@pytest.mark.parametrize("path", ["/", "/web/js/main.js", "/web/texts/zh.json", "/web/style.css"])
def test_a_file_that_the_browser_has_is_not_sent_again(path: str, http: httpx.Client) -> None:
    first = http.get(path)
    again = http.get(path, headers={"If-None-Match": first.headers["etag"]})

    assert first.headers["cache-control"] == "no-cache"  # kept, and asked about
    assert again.status_code == 304
    assert again.content == b""


def test_the_chart_library_is_sent_packed_and_kept_for_ever_under_its_version(http: httpx.Client) -> None:
    (path,) = set(re.findall(r"/web/plotly-[\d.]+\.min\.js", http.get("/").text))
    packed = http.get(path)
    plain = http.get(path, headers={"Accept-Encoding": "identity"})

    assert packed.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 3
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    "path", ["/web/", "/web/js", "/web/../app.py", "/web/%2e%2e/app.py", "/web/js/../../app.py", "/web/plotly.min.js"]
)
def test_nothing_else_is_served(path: str, http: httpx.Client) -> None:
    answer = http.get(path)

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("name", ["RATES", "STEPS"])
def test_columns_of_a_pasted_log_are_found_by_the_names_of_the_command(name: str) -> None:
    script = (WEB / "js" / "views" / "schedules" / "recognise.js").read_text()
    written = re.search(rf"^const {name} = (\[.*\]);$", script, re.MULTILINE)

    assert written is not None
    assert tuple(json.loads(written[1])) == getattr(logs, name)
