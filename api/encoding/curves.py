"""Curves as JSON, CSV, npy, Arrow, PNG or SVG."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from fastapi import Response
from fastapi.responses import StreamingResponse
from numpy.typing import NDArray

from lrcore.compare import CompareRequest
from lrcore.curve import Curve, CurveRequest, first_at_most, first_at_most_after_peak, sample, summary
from lrcore.lint import warnings
from lrcore.numerics.grid import Grid
from lrcore.text import cell

from .json import CHUNK, dumps, pieces
from .pictures import draw_curves

MEDIA_TYPES = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "npy": "application/x-npy",
    "arrow": "application/vnd.apache.arrow.stream",
    "png": "image/png",
    "svg": "image/svg+xml",
}
VALUES = 2**16  # of a table that are put together before they are sent: a long one never lies in memory as a whole
ARROW_ROWS = 256  # at least in a batch, in which each column has a cost of its own

Axis = Literal["linear", "log"]
Columns = list[tuple[str, NDArray[np.float64]]]


def encode(request: CurveRequest, form: str, axis: Axis = "linear") -> Response:
    """The curve asked for in one of MEDIA_TYPES. Raises CurveError."""
    if form == "npy":
        body, lr = _npy_file((len(request.base_lrs), request.steps) if request.grouped else (request.steps,))
        sample(request, lr.reshape(len(request.base_lrs), request.steps))
        return _response(body, form)
    curve = sample(request)
    if form == "json":
        return _json(answer(request, curve), curve.lr.size)
    if form in ("png", "svg"):
        return _response(draw_curves([("", curve)], request.schedule.type, form, axis), form)
    return _table(curve.t, _columns("lr", "momentum", request, curve), form)


def encode_several(
    request: CompareRequest, requests: Sequence[CurveRequest], curves: Sequence[Curve], form: str, axis: Axis
) -> Response:
    """Curves over the same steps in one of MEDIA_TYPES; a column, row or line each, by its name."""
    names = [each.name for each in request.curves]
    if form == "json":
        shared = request.model_dump(mode="json", exclude={"curves"})
        own = [
            {"name": name} | {key: value for key, value in answer(one, curve).items() if key not in shared}
            for name, one, curve in zip(names, requests, curves, strict=True)
        ]
        return _json(shared | {"curves": own}, sum(curve.lr.size for curve in curves))
    if form == "npy":
        body, lr = _npy_file((sum(len(curve.lr) for curve in curves), request.steps))
        np.concatenate([curve.lr for curve in curves], out=lr)
        return _response(body, form)
    if form in ("png", "svg"):
        return _response(draw_curves(list(zip(names, curves, strict=True)), "", form, axis), form)
    columns = [
        column
        for name, one, curve in zip(names, requests, curves, strict=True)
        for column in _columns(name, f"{name} momentum", one, curve)
    ]
    return _table(curves[0].t, columns, form)


def answer(request: CurveRequest, curve: Curve) -> dict[str, Any]:
    """The JSON of a curve: the request with its defaults, the rates, and what can be said of them."""

    def per_group(values: Any) -> Any:
        return values if request.grouped else values[0]

    found: dict[str, Any] = {
        "schedule": request.schedule.model_dump(mode="json"),
        "base_lr": per_group(request.base_lrs),
        "start": request.start,
        "stride": request.stride,
        "steps": request.steps,
        "lr": per_group(curve.lr),
    }
    for name in ("total_steps", "steps_per_epoch"):
        if (value := getattr(request, name)) is not None:
            found[name] = value
    if curve.momentum is not None:
        found["momentum"] = per_group(curve.momentum)
    facts = [summary(lr, extent, request.stride) for lr, extent in zip(curve.lr, curve.extents, strict=True)]
    found["summary"] = per_group(facts)
    if request.where is not None:
        found["where"] = {
            "lr_at_most": request.where,
            "step": per_group(first_at_most(curve, request.where)),
            "after_peak": per_group(first_at_most_after_peak(curve, request.where)),
        }
    found["warnings"] = [warning._asdict() for warning in warnings(request, curve)]
    return found


def _json(found: dict[str, Any], values: int) -> Response:
    """An answer with so many rates, bit by bit if they are many."""
    if values <= CHUNK:
        return _response(dumps(found), "json")
    return StreamingResponse(pieces(found), headers={"Vary": "Accept"}, media_type=MEDIA_TYPES["json"])


def _response(body: bytes | memoryview, form: str) -> Response:
    return Response(body, headers={"Vary": "Accept"}, media_type=MEDIA_TYPES[form])


def _table(t: Grid, columns: Columns, form: str) -> Response:
    written = (_arrow if form == "arrow" else _csv)(t, columns)
    return StreamingResponse(written, headers={"Vary": "Accept"}, media_type=MEDIA_TYPES[form])


def _columns(lr: str, momentum: str, request: CurveRequest, curve: Curve) -> Columns:
    """The curve's columns; with several parameter groups one a group, numbered."""

    def named(name: str, values: NDArray[np.float64]) -> Columns:
        return [(f"{name}_{i}" if request.grouped else name, column) for i, column in enumerate(values)]

    return named(lr, curve.lr) + ([] if curve.momentum is None else named(momentum, curve.momentum))


def _npy_file(shape: tuple[int, ...]) -> tuple[memoryview, NDArray[np.float64]]:
    """The bytes of an npy file of float64, and its array, still to be filled in."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"shape": shape, "fortran_order": False, "descr": "<f8"})
    start = header.tell()
    file = np.empty(start + 8 * math.prod(shape), dtype=np.uint8)
    file[:start] = np.frombuffer(header.getvalue(), dtype=np.uint8)
    return file.data, file[start:].view("<f8").reshape(shape)


def _parts(t: Grid, columns: Columns, rows: int) -> Iterator[tuple[NDArray[np.int64], list[NDArray[np.float64]]]]:
    """Yield the steps and each column's values in parts of about VALUES values, with at least `rows` rows."""
    rows = max(rows, VALUES // (1 + len(columns)))
    for start in range(0, t.count, rows):
        end = min(start + rows, t.count)
        yield t.part(start, end).integers(), [values[start:end] for _, values in columns]


def _arrow(t: Grid, columns: Columns) -> Iterator[bytes]:
    """An Arrow IPC stream, NaN where there is no value."""
    import nanoarrow  # noqa: PLC0415  # no other answer should wait for it
    from nanoarrow.ipc import StreamWriter  # noqa: PLC0415

    schema = nanoarrow.struct({"step": nanoarrow.int64()} | {name: nanoarrow.float64() for name, _ in columns})
    file = io.BytesIO()
    with StreamWriter.from_writable(file) as writer:
        for steps, values in _parts(t, columns, ARROW_ROWS):
            arrays = [nanoarrow.c_array(array) for array in (steps, *values)]
            writer.write_array(nanoarrow.c_array_from_buffers(schema, len(steps), [None], children=arrays))
            yield file.getvalue()
            file.seek(0)
            file.truncate()
    yield file.getvalue()


def _csv(t: Grid, columns: Columns) -> Iterator[bytes]:
    """Rows as orjson writes arrays, without their brackets. It writes null where there is no value."""
    yield (",".join(["step", *(_quoted(name) for name, _ in columns)]) + "\n").encode()
    for steps, values in _parts(t, columns, 1):
        rows = dumps(list(zip(steps.tolist(), *(column.tolist() for column in values), strict=True)))
        yield rows[2:-2].replace(b"],[", b"\n").replace(b"null", b"") + b"\n"


def _quoted(name: str) -> str:
    """A column's name, quoted where CSV needs it (RFC 4180)."""
    name = cell(name)
    return '"' + name.replace('"', '""') + '"' if any(c in name for c in ',"\r\n') else name
