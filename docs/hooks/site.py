"""What MkDocs calls: adds the pages that are made from the code, and fixes links that lead out of docs/."""

from __future__ import annotations

import ast
import json
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docs.hooks import http_pages, schedule_pages
from lrcore.schedules import SCHEDULES

ROOT = Path(__file__).parents[2]
# files of the repository that the site has as pages
PAGES = {
    "benchmarks/RESULTS.md": "results.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "policy.md",
    "README.md": "index.md",
    "README.zh.md": "zh.md",
}
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)#:\s]+)(#[^)\s]*)?\)")
PICTURE = re.compile(r"!\[([^\]]*)\]\(docs/([^)]+)\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Name the generated pages in the navigation, and under Use those of docs/ that it does not name."""
    sections: dict[str, list[Any]] = {"Schedules": ["schedules.md"], "HTTP": ["http/index.md"]}
    by_home: dict[str, list[str]] = {}
    for schedule in SCHEDULES.values():
        by_home.setdefault(schedule_pages.home(schedule), []).append(schedule_pages.address(schedule))
    sections["Schedules"] += [{home: by_home[home]} for home in schedule_pages.ordered(by_home)]
    sections["HTTP"] += [http_pages.address(tag) for tag in http_pages.Reference().tags]
    assert config.nav
    config.nav = [{name: sections.get(name, rest)} for entry in config.nav for name, rest in entry.items()]
    named, use = str(config.nav), next(entry["Use"] for entry in config.nav if "Use" in entry)
    use += [page.name for page in sorted((ROOT / "docs").glob("*.md")) if f"'{page.name}'" not in named]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is generated."""
    for source, target in PAGES.items():
        if target not in ("index.md",) and (ROOT / source).exists():
            text = PICTURE.sub(r"![\1](\2)", (ROOT / source).read_text("utf-8"))
            files.append(_generated(config, target, _linked(text, source, target)))
    files.append(_generated(config, "examples.md", _examples()))
    for schedule in SCHEDULES.values():
        where = schedule_pages.address(schedule)
        files.append(_generated(config, where, schedule_pages.page(schedule)))
        stem = where.removesuffix(".md")
        files.append(_generated(config, f"{stem}.svg", schedule_pages.picture(schedule)))
        files.append(_generated(config, f"{stem}.thumbnail.svg", schedule_pages.thumbnail(schedule)))
    for where, text in http_pages.Reference().pages().items():
        files.append(_generated(config, where, text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fix a page's links; the one page of all schedules becomes an index of their own pages."""
    source = page.file.src_uri
    if source == "schedules.md":
        head, _, _ = markdown.partition("\n## ")
        head = head.replace("Made from the code by `make docs`; do not edit. The", "The")
        return head + schedule_pages.gallery()
    return _linked(markdown, f"docs/{source}", source)


def _generated(config: MkDocsConfig, where: str, content: str | bytes) -> File:
    return File.generated(config, where, content=content)


def _linked(markdown: str, source: str, target: str) -> str:
    """Links to files of the repository as links to pages of the site, or as plain text if it has none for them.

    Args:
        source: address of the text in the repository.
        target: address of its page in the site.
    """

    def mended(match: re.Match[str]) -> str:
        text, to, anchor = match[1], match[2], match[3] or ""
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), to))
        if path in PAGES:
            found = PAGES[path]
        elif path.startswith("examples/") and (ROOT / path).is_dir():
            return text
        elif path.startswith("examples"):
            found, anchor = "examples.md", f"#{_anchor(path)}" if "/" in path else ""
        elif path.startswith("docs/"):
            found = path.removeprefix("docs/")
        elif (ROOT / path).exists():
            return text if text.startswith("`") else f"`{text}`"
        else:
            return match[0]  # one within the site, which MkDocs checks
        return f"[{text}]({posixpath.relpath(found, posixpath.dirname(target) or '.')}{anchor})"

    return LINK.sub(mended, markdown)


def _anchor(path: str) -> str:
    return re.sub(r"[^a-z0-9_]+", "", Path(path).name.lower())


def _examples() -> str:
    """All examples, each whole."""
    lines = [
        "# Examples\n",
        "Files of the folder `examples`. Each of them is run by a test: the scripts also check that the rates which "
        "the framework used are those of the curve.\n",
    ]
    for path in sorted((ROOT / "examples").iterdir(), key=lambda path: (path.suffix == ".json", path.name)):
        if path.suffix not in (".py", ".sh", ".json"):
            continue
        text = path.read_text("utf-8").rstrip()
        language = {".py": "python", ".sh": "sh", ".json": "json"}[path.suffix]
        lines.append(f"## {path.name} {{ #{_anchor(path.name)} }}\n\n{_about(path, text)}\n")
        lines.append(f"```{language}\n{text}\n```\n")
    return "\n".join(lines)


def _about(path: Path, text: str) -> str:
    """An example in a line."""
    if path.suffix == ".py":
        return (ast.get_docstring(ast.parse(text)) or "").split("\n\n")[0]
    if path.suffix == ".sh":
        return text.split("\n")[1].removeprefix("# ")
    spec = json.loads(text)
    return "An experiment." if "grid" in spec else "A training job."
