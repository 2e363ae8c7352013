"""Which representation a client gets: `?format=` first, then the Accept header."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request

from ..problems import Invalid


def choose(request: Request, media_types: Mapping[str, str]) -> str:
    """The name of the chosen format.

    Args:
        media_types: name to media type, in order of preference; the first is the default.

    Raises:
        Invalid: `?format=` names no format.
        HTTPException: 406, nothing in Accept can be served.
    """
    wanted = request.query_params.get("format")
    if wanted is not None:
        if wanted not in media_types:
            raise Invalid((("query", "format"), f"must be one of {', '.join(media_types)}"))
        return wanted
    ranges = sorted(_ranges(request.headers.get("accept") or "*/*"), key=lambda r: -r[1])
    for pattern, quality in ranges:
        for name, media_type in media_types.items():
            main = media_type.partition(";")[0]
            if quality > 0 and pattern in ("*/*", main, main.partition("/")[0] + "/*"):
                return name
    raise HTTPException(406, f"can be had as {', '.join(media_types.values())}")


def _ranges(accept: str) -> list[tuple[str, float]]:
    """Media ranges and their quality, in the order given. A quality that is no number counts as 0."""
    found = []
    for part in accept.split(","):
        pattern, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        try:
            found.append((pattern, float(quality)))
        except ValueError:
            found.append((pattern, 0.0))
    return found
