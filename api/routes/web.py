"""The dashboard: static files, one more client of the public API."""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response

from ..documented import DocumentedRoute
from ..encoding.cache import matches

router = APIRouter(route_class=DocumentedRoute, include_in_schema=False)
ANY_QUERY = True  # links to a page may carry parameters of others

ROOT = Path(__file__).parents[1] / "web"
PLOTLY = Path(getattr(find_spec("plotly"), "origin", "")).parent / "package_data" / "plotly.min.js"  # no import
TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
# No inline script, no inline style. What Plotly sets on elements it sets through the DOM, which the policy allows. It
# would also make two style sheets, unless there are elements with the ids that they would have: its own, which is
# plotly.css here, and that of the maps in it, which no chart here needs. blob: is for pictures and files of jobs,
# which are fetched with the key.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SMALLEST = 1024  # bytes: below, compressing saves nothing


@dataclass(frozen=True)
class File:
    """What is sent of a file: as it is, or compressed."""

    plain: bytes
    packed: bytes | None
    tag: str
    media_type: str

    def answer(self, request: Request, kept: str) -> Response:
        """The file, or 304 for a client that has it."""
        headers = {"ETag": self.tag, "Cache-Control": kept, "Vary": "Accept-Encoding"}
        if self.media_type == TYPES[".html"]:
            headers["Content-Security-Policy"] = POLICY
        if matches(request.headers.get("if-none-match"), self.tag):
            return Response(status_code=304, headers=headers)
        if self.packed is None or "gzip" not in request.headers.get("accept-encoding", ""):
            return Response(self.plain, media_type=self.media_type, headers=headers)
        return Response(self.packed, media_type=self.media_type, headers=headers | {"Content-Encoding": "gzip"})


@lru_cache(maxsize=256)
def _read(path: Path, modified: int) -> File:
    """A file in memory. `modified` only tells its versions apart, so that an edited file is read again."""
    content = path.read_bytes()
    if path.suffix == ".html":
        name, maps = _plotly()
        content = content.replace(b"{plotly}", name.encode()).replace(b"{maps}", maps.encode())
    packed = gzip.compress(content, 6, mtime=0) if len(content) >= SMALLEST else None
    tag = '"' + hashlib.blake2b(content, digest_size=16).hexdigest() + '"'
    return File(content, packed, tag, TYPES[path.suffix])


def _file(path: Path) -> File:
    return _read(path, path.stat().st_mtime_ns)


@cache
def _plotly() -> tuple[str, str]:
    """The chart library's name, with its version so that it is kept for ever, and the id of its maps' styles."""
    script = PLOTLY.read_text(encoding="utf-8")
    version = re.search(r"plotly\.js v([\w.-]+)", script[:500])
    maps = re.search(r'getElementById\("([0-9a-f]{64})"\)', script)
    return f"plotly-{version[1] if version else len(script)}.min.js", maps[1] if maps else "no-maps"


@cache
def _names() -> frozenset[str]:
    """Every file there is, by its path below /web: nothing else is ever opened."""
    return frozenset(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*") if path.suffix in TYPES)


def prepare() -> None:
    """Read and pack what is large."""
    _file(PLOTLY)
    _file(ROOT / "index.html")


@router.get("/")
def page(request: Request) -> Response:
    """The dashboard's page."""
    return _file(ROOT / "index.html").answer(request, "no-cache")


@router.get("/web/{name:path}")
def asset(name: str, request: Request) -> Response:
    """A file of the dashboard."""
    if name == _plotly()[0]:
        return _file(PLOTLY).answer(request, "public, max-age=31536000, immutable")
    if name not in _names():
        _names.cache_clear()  # for files that came after the start
        if name not in _names():
            raise HTTPException(404)
    return _file(ROOT / name).answer(request, "no-cache")
