"""The OpenAPI document: FastAPI's, with names for generated clients, examples that work, and only what is true."""

from __future__ import annotations

import threading
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from . import problems
from .documented import documented

DESCRIPTION = (
    "One schedule, the same JSON, is an exact curve at once and the rates of a training job on a worker. "
    "Errors are application/problem+json (RFC 9457) and name the field. Times are RFC 3339 in UTC; ids are opaque."
)
TAGS = [
    {"name": "schedules", "description": "What there is, the code of other frameworks, and the way back from rates."},
    {"name": "curves", "description": "What a schedule does, at once and exactly."},
    {"name": "jobs", "description": "Training jobs: submit, follow, control, and the files that they leave."},
    {"name": "range tests", "description": "Jobs that raise the rate at every step and suggest one."},
    {"name": "experiments", "description": "A job varied over a grid, with a leaderboard."},
    {"name": "models", "description": "What a job can train."},
    {"name": "datasets", "description": "What a job can train on."},
    {"name": "optimizers", "description": "What a job can train with."},
    {"name": "webhooks", "description": "Endpoints that are notified when a job changes its state."},
    {"name": "keys", "description": "Who may call, and who has done what."},
    {"name": "system", "description": "Whether the service is up."},
]

SCHEDULE = {"type": "StepLR", "step_size": 5, "gamma": 0.5}
JOB = {
    "model": {"type": "lenet"},
    "dataset": {"type": "digits"},
    "optimizer": {"type": "SGD", "lr": 0.1, "momentum": 0.9},
    "epochs": 20,
    "batch_size": 64,
}
SCHEDULED = JOB | {"schedule": SCHEDULE}
COSINE = {"type": "CosineAnnealingLR", "T_max": 20}
# of request bodies, by operation
EXAMPLES: dict[str, dict[str, Any]] = {
    "compute_curve": {"schedule": SCHEDULE, "base_lr": 0.1, "steps": 20},
    "compare_curves": {
        "curves": [
            {"name": "steps", "schedule": SCHEDULE, "base_lr": 0.1},
            {"name": "cosine", "schedule": COSINE, "base_lr": 0.1},
        ],
        "steps": 20,
    },
    "translate_schedule": {"schedule": SCHEDULE, "base_lr": 0.1, "to": "optax"},
    "fit_schedule": {"lr": [0.1, 0.1, 0.05, 0.05, 0.025]},
    "read_config": {
        "from": "deepspeed",
        "config": {"type": "WarmupLR", "params": {"warmup_max_lr": 0.001, "warmup_num_steps": 100}},
        "total_steps": 1000,
    },
    "submit_job": SCHEDULED,
    "submit_job_with_id": SCHEDULED,
    "submit_range_test": JOB | {"start_lr": 1e-5, "end_lr": 10, "num_iter": 100},
    "submit_experiment": {"base": JOB, "grid": {"schedule": [None, SCHEDULE, COSINE], "seed": [0, 1, 2]}},
    "change_job": {"priority": 5},
    "clone_job": {"optimizer": {"lr": 0.03}, "epochs": 10},
    "create_webhook": {"url": "https://example.org/hook", "events": ["job.succeeded", "job.failed"]},
    "change_webhook": {"enabled": False},
    "create_key": {"role": "submit", "name": "nightly sweeps", "days": 90},
}
EXAMPLES |= {f"{verb}_experiment": EXAMPLES[f"{verb}_job"] for verb in ("change", "clone")}

_making = threading.Lock()


def operation_id(route: APIRoute) -> str:
    """The name that a generated client gives a call: that of the function. What jobs share has one for experiments."""
    return route.name.replace("_job", "_experiment") if "experiments" in route.tags else route.name


def document(app: FastAPI) -> dict[str, Any]:
    """The document, made once, whichever thread asks first."""
    with _making:
        return _document(app)


def _document(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = FastAPI.openapi(app)
        _define_problem(schema["components"]["schemas"])
        if app.state.auth:
            schema["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        for path, methods in schema["paths"].items():
            for operation in methods.values():
                if path.startswith("/v1/"):
                    _refused_before_routes(operation, asked=app.state.auth)
                _correct(operation)
    return app.openapi_schema or {}


def _define_problem(components: dict[str, Any]) -> None:
    """Add the schema that `documented` refers to, and remove FastAPI's own errors, which are never sent."""
    problem = problems.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    components.update(problem.pop("$defs"))
    components["Problem"] = problem
    for name in ("HTTPValidationError", "ValidationError"):
        components.pop(name, None)


def _refused_before_routes(operation: dict[str, Any], *, asked: bool) -> None:
    """Add what is answered before any route: by the middleware, and for an unknown query parameter."""
    if asked:
        operation["security"] = [{"key": []}]
    answers = {str(status): entry for status, entry in documented(401, 403, 421, 422, 429).items()}
    operation["responses"].update(answers)


def _correct(operation: dict[str, Any]) -> None:
    answers = operation["responses"]
    if "application/json" in answers.get("422", {}).get("content", {}):  # put there by FastAPI, and never sent
        del answers["422"]
    for answer in answers.values():
        if "application/json" in (content := answer.get("content", {})):  # generators of clients take the first
            answer["content"] = {"application/json": content["application/json"]} | content
        stream = answer.get("content", {}).get("text/event-stream")
        if stream is not None:  # FastAPI's, of the stream as one text: readers take it for each event's
            stream.pop("schema", None)
    example = EXAMPLES.get(operation["operationId"])
    if example is not None:
        body = operation["requestBody"]["content"]["application/json"]
        body.get("schema", {}).pop("examples", None)
        body["example"] = example
