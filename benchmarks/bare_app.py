"""The floor under any route: FastAPI answering a POST with bytes made beforehand. Served by benchmarks.http."""

from __future__ import annotations

import numpy as np
from fastapi import FastAPI, Response

from lrcore.curve import CurveRequest, sample
from lrserve.api.encoding.curves import answer, encode
from lrserve.api.encoding.json import dumps

app = FastAPI()


def _request(steps: int) -> CurveRequest:
    schedule = {"type": "CosineAnnealingLR", "T_max": steps, "eta_min": 1e-4}
    return CurveRequest.model_validate({"schedule": schedule, "base_lr": 0.1, "steps": steps})


SMALL = dumps(answer(_request(1000), sample(_request(1000))))
LARGE = bytes(encode(_request(10**6), "npy").body)
assert np.frombuffer(LARGE[-8:]).size == 1


@app.post("/small")
async def small() -> Response:
    return Response(SMALL, media_type="application/json")


@app.post("/large")
async def large() -> Response:
    return Response(LARGE, media_type="application/x-npy")
