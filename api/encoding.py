"""A curve as JSON, CSV, npy, PNG or SVG."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from fastapi import Response
from fastapi.responses import StreamingResponse

from api.json import dumps
from api.pictures import draw_curve
from lrcore.curve import Curve, CurveRequest, summary

MEDIA_TYPES = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "npy": "application/x-npy",
    "png": "image/png",
    "svg": "image/svg+xml",
}
CSV_ROWS = 20_000  # rows put together before they are sent: a long curve never lies in memory as text


def encode(request: CurveRequest, curve: Curve, form: str) -> Response:
    """The curve in one of MEDIA_TYPES."""
    headers = {"Vary": "Accept"}
    media_type = MEDIA_TYPES[form]
    if form == "csv":
        return StreamingResponse(_csv(request, curve), headers=headers, media_type=media_type)
    if form in ("png", "svg"):
        body = draw_curve(curve, request.schedule.type, form)
    elif form == "npy":
        body = _npy(request, curve)
    else:
        body = _json(request, curve)
    return Response(body, headers=headers, media_type=media_type)


def _json(request: CurveRequest, curve: Curve) -> bytes:
    asked = request.model_dump(mode="json", exclude={"metrics"})
    asked["base_lr"] = list(request.base_lrs) if request.grouped else request.base_lrs[0]
    steps = asked.pop("steps")
    answer: dict[str, Any] = asked | {"steps": steps, "lr": curve.lr if request.grouped else curve.lr[0]}
    if curve.momentum is not None:
        answer["momentum"] = curve.momentum if request.grouped else curve.momentum[0]
    summaries = [summary(lr, extent) for lr, extent in zip(curve.lr, curve.extents, strict=True)]
    return dumps(answer | {"summary": summaries if request.grouped else summaries[0]})


def _npy(request: CurveRequest, curve: Curve) -> bytes:
    """float64, shape (steps,) or (groups, steps)."""
    file = io.BytesIO()
    np.save(file, curve.lr if request.grouped else curve.lr[0], allow_pickle=False)
    return file.getvalue()


def _csv(request: CurveRequest, curve: Curve) -> Iterator[str]:
    def names(quantity: str) -> list[str]:
        return [f"{quantity}_{group}" for group in range(len(curve.lr))] if request.grouped else [quantity]

    columns = [*curve.lr, *(curve.momentum if curve.momentum is not None else [])]
    yield ",".join(["step", *names("lr"), *(names("momentum") if curve.momentum is not None else [])]) + "\n"
    for start in range(0, curve.t.count, CSV_ROWS):
        part = slice(start, start + CSV_ROWS)
        texts = [list(map(str, curve.t.part(start, min(start + CSV_ROWS, curve.t.count)).integers().tolist()))]
        texts += [["" if x != x else repr(x) for x in column[part].tolist()] for column in columns]
        yield "\n".join(map(",".join, zip(*texts, strict=True))) + "\n"
