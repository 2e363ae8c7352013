"""Every operation of the OpenAPI document, with data that fits it and data that does not, against a running service."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from lrcore.access.keys import KeyStore, Role
from lrcore.access.limits import LimitStore
from lrcore.store.connection import connect
from tests.conftest import Service, running_service, until
from tests.examples import SHARE
from tests.factories import job_spec, range_test_of

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    negative_data_rejection,
]
POSITIVE = schemathesis.GenerationMode.POSITIVE
MOST_STEPS = 200  # of an answer, which is read and compared with its schema
MANY = 40  # members of the union of all schedules, at least
PARTS = 4
SECONDS = 30  # for an answer
NO_JOB = "NO-JOB"  # capitals: no PUT can make it
KINDS = {"experiments": "experiment", "lr-range-tests": "lr_range_test", "jobs": "training"}
FILES = ["spec.json", "metrics.csv", "metrics.json", "figure.png", "best.safetensors", "../spec.json"]
TYPES = ["StepLR", "SequentialLR", "LambdaLR", "ReduceLROnPlateau", "OneCycleLR", "mlp", "fake", "SGD"]
CONFIG = """
[generation]
allow-x00 = true
with-security-parameters = false
"""
OPEN = ("/", "/healthz", "/readyz", "/openapi.json")  # and what is not of the document
ROLES = ["read", "submit", "admin"]
COMPUTED = ("/v1/curves", "/v1/schedules/")
ADMIN = ("/v1/keys", "/v1/audit")


@dataclass(frozen=True)
class Caller:
    """Who sends a request.

    Attributes:
        role: "" if no key is asked for, or this one is none.
        headers: of every request.
        stranger: to the tenant whose jobs there are.
    """

    role: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    stranger: bool = False

    def refused(self, method: str, path: str) -> int | None:
        """The status that this caller gets whatever it sends."""
        if path in OPEN:
            return None
        needed = "submit"
        if path.startswith(ADMIN):
            needed = "admin"
        elif method.upper() in ("GET", "HEAD") or path.startswith(COMPUTED):
            needed = "read"
        return 401 if not self.role else 403 if ROLES.index(self.role) < ROLES.index(needed) else None


@dataclass
class Fuzz:
    """A service, its document, and what came of the requests."""

    service: Service
    document: Any
    known: dict[str, list[str]]  # ids by kind, all of jobs that have ended
    callers: list[Caller] = field(default_factory=list)  # in turn; none where no keys are asked for
    submitted: list[str] = field(default_factory=list)
    webhooks: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    session: requests.Session = field(default_factory=requests.Session)
    requests: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    failures: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def ask(self, operation: Any, mode: schemathesis.GenerationMode, examples: int, seed: int) -> None:
        """So many requests to one operation. What fails is kept, so that one defect hides no other."""

        @hypothesis.seed(zlib.crc32(f"{seed} {operation.label} {mode}".encode()))
        @hypothesis.settings(
            max_examples=examples,
            database=None,
            deadline=None,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        def each(case: schemathesis.Case) -> None:
            self._send(case, mode)

        with suppress(Unsatisfiable):  # what takes any text has no data that does not fit
            each()

    def _send(self, case: schemathesis.Case, mode: schemathesis.GenerationMode) -> None:
        self._aim(case)
        _confine(case, mode)
        caller = self.callers[self.requests.total() % len(self.callers)] if self.callers else Caller()
        response = case.call(
            base_url=self.service.url, session=self.session, timeout=SECONDS, headers=caller.headers or None
        )
        self.requests[str(mode)] += 1
        self.statuses[response.status_code] += 1
        if not caller.stranger:
            self._remember(response)
        if self.callers and (wrong := self._wrong(case, caller, response.status_code)):
            self._failed(case, wrong, response.status_code, f"{wrong}, as {caller.role or 'nobody'}")
        try:
            case.validate_response(response, checks=CHECKS)
        except FailureGroup as group:
            for failure in group.exceptions:
                self._failed(case, type(failure).__name__, response.status_code, str(failure))

    def _failed(self, case: schemathesis.Case, what: str, status: int, text: str) -> None:
        place = (case.operation.label, what, str(status))
        self.failures.setdefault(place, f"{text}\n{case.as_curl_command()}"[:3000])

    def _wrong(self, case: schemathesis.Case, caller: Caller, status: int) -> str:
        """What is wrong with the answer to this caller, if anything is."""
        if (due := caller.refused(case.method, case.path)) is not None:
            return "" if status == due else f"not {due}"
        if status in (401, 403):
            return "refused though allowed"
        ids = {value for name, value in case.path_parameters.items() if name.endswith("_id")}
        others = {*(job_id for known in self.known.values() for job_id in known), *self.webhooks, *self.keys}
        if caller.stranger and ids & others and case.method != "PUT" and status < 400:
            return "lets a tenant cross"
        return ""

    def _aim(self, case: schemathesis.Case) -> None:
        """At something that there is, more often than chance would.

        An event stream of a job that has not ended goes on for ever, so those of other jobs are not asked for. The
        jobs that were there at the beginning stay.
        """
        if "job_id" in case.path_parameters and case.method != "PUT":
            kind = next(kind for name, kind in KINDS.items() if f"/{name}/" in case.path)
            ended, others = self.known[kind], self.submitted[-20:]
            if case.path.endswith("/events"):
                others = []
                case.path_parameters["job_id"] = NO_JOB
            _choose(case, "job_id", others if case.method == "DELETE" else ended + others)
        _choose(case, "webhook_id", self.webhooks[-20:])
        _choose(case, "key_id", self.keys[-20:])
        _choose(case, "name", FILES)
        _choose(case, "type", TYPES)

    def _remember(self, response: Any) -> None:
        """What was made by a request."""
        path = response.headers.get("location", [""])[0]
        if response.status_code in (201, 202) and path:
            made = self.webhooks if "/webhooks/" in path else self.keys if "/keys/" in path else self.submitted
            made.append(path.rpartition("/")[2])


def _choose(case: schemathesis.Case, name: str, known: list[str]) -> None:
    """Three times in four one of those that there are; a drawn value decides, so that a run can be repeated."""
    choice = zlib.crc32(repr((case.path_parameters, case.query, case.path)).encode())
    if name in case.path_parameters and known and choice % 4:
        case.path_parameters[name] = known[choice // 4 % len(known)]


def _confine(case: schemathesis.Case, mode: schemathesis.GenerationMode) -> None:
    """Keep answers short, and let no webhook leave the machine."""
    if isinstance(case.query, dict) and isinstance(steps := case.query.get("steps"), int) and steps > MOST_STEPS:
        case.query["steps"] = steps % MOST_STEPS + 1
    if not isinstance(case.body, dict):
        return
    for name in ("steps", "epochs", "num_iter"):
        value = case.body.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and MOST_STEPS < value <= 10**7:
            case.body[name] = value % MOST_STEPS + 1
    if mode == POSITIVE and isinstance(url := case.body.get("url"), str):  # the others are refused
        case.body["url"] = re.sub(r"^(https?)://[^/?#]+", r"\1://webhook.invalid", url)


def started(service: Service) -> dict[str, list[str]]:
    """A job of each kind that has ended, by kind. What is submitted later waits: no worker is left."""
    small = job_spec(epochs=1)
    test = range_test_of(small, num_iter=5)
    specs = {"jobs": small, "lr-range-tests": test, "experiments": {"base": small, "grid": {"seed": [0, 1]}}}
    ids = {KINDS[name]: service.http.post(f"/v1/{name}", json=spec).json()["id"] for name, spec in specs.items()}
    for job_id in ids.values():
        until(lambda job_id=job_id: service.http.get(f"/v1/jobs/{job_id}").json()["state"] == "succeeded", 120)
    service.kill("worker 0")
    return {kind: [job_id] for kind, job_id in ids.items()}


def document(service: Service) -> Any:
    config = schemathesis.Config.from_str(CONFIG)
    return schemathesis.openapi.from_dict(thinned(service.http.get("/openapi.json").json()), config=config)


@pytest.fixture(scope="module")
def fuzz(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzz]:
    """A service that asks for no keys."""
    with running_service(tmp_path_factory.mktemp("fuzzed") / "home") as service:
        yield Fuzz(service, document(service), started(service))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzz]:
    """A service that asks for keys: half of the requests have an admin's, the others lesser ones, or none."""
    with running_service(tmp_path_factory.mktemp("guarded") / "home", auth="true") as service:
        with connect((service.stack.settings.home_folder / "redis.url").read_text()) as redis:
            keys = KeyStore(redis)
            LimitStore(redis).change("bounded", {"requests_per_minute": 30, "queued": 3, "steps": 20, "runs": 2})
            tokens = {name: keys.create("fuzzed", Role(name))[1] for name in ROLES}
            strange = {name: keys.create(name, Role.ADMIN)[1] for name in ("other", "bounded")}
        service.http.headers.update(_bearer(tokens["admin"]))
        callers = [Caller(name, _bearer(tokens[name])) for name in ("submit", "read")]
        callers += [Caller("admin", _bearer(token), stranger=True) for token in strange.values()]
        callers += [Caller("", _bearer("lrs_000000000000_" + "A" * 43)), Caller()]
        admin = Caller("admin", _bearer(tokens["admin"]))
        turns = [each for caller in callers for each in (admin, caller)]
        yield Fuzz(service, document(service), started(service), [*turns, admin])  # an odd number: others' turns shift


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def thinned(document: dict[str, Any]) -> dict[str, Any]:
    """The document with a few simple schedules, and no others, as the parts of those that are made of schedules.

    schemathesis looks for every path through a schema before it draws data that do not fit: of schedules inside
    schedules there are so many that it never ends.
    """
    schemas = document["components"]["schemas"]
    members = {_name(option) for union in _unions(schemas) for option in union["oneOf"]}
    composite = {name for name in members if any(_unions(schemas[name]))}
    for union in _unions([schemas[name] for name in composite]):
        union["oneOf"] = [option for option in union["oneOf"] if _name(option) not in composite][:PARTS]
        del union["discriminator"]
    return document


def _unions(node: Any) -> Iterator[dict[str, Any]]:
    """The places in a schema where any schedule may stand."""
    if isinstance(node, dict) and len(node.get("oneOf", ())) >= MANY:
        yield node
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _unions(inner)


def _name(option: dict[str, str]) -> str:
    return option["$ref"].rpartition("/")[2]


def _refusable(definition: dict[str, Any]) -> bool:
    """Whether there is data that does not fit."""
    schemas = [parameter["schema"] for parameter in definition.get("parameters", ())]
    return "requestBody" in definition or any(schema.keys() - {"title", "type"} for schema in schemas)


def run(fuzz: Fuzz, each: int, seed: int) -> None:
    """`each` requests to each operation in each mode; fails with everything that was wrong."""
    for found in fuzz.document.get_all_operations():
        operation = found.ok()
        modes = list(schemathesis.GenerationMode) if _refusable(operation.definition.raw) else [POSITIVE]
        for mode in modes:
            fuzz.ask(operation, mode, each, seed)
    log = fuzz.service.log.read_text(errors="replace")
    print(f"{fuzz.requests.total()} requests: {dict(fuzz.requests)}; answers: {dict(sorted(fuzz.statuses.items()))}")
    assert not fuzz.failures, "\n\n".join(f"{' '.join(place)}\n{text}" for place, text in fuzz.failures.items())
    assert "Traceback" not in log, log[log.index("Traceback") :][:5000]


@pytest.mark.drawn
@pytest.mark.slow
@pytest.mark.sampled(2)
@pytest.mark.parametrize(("service", "each"), [("guarded", 2), ("fuzz", 3)])
def test_the_service_keeps_to_its_document(service: str, each: int, request: pytest.FixtureRequest) -> None:
    run(request.getfixturevalue(service), max(1, each // SHARE), seed=1)


@pytest.mark.security
@pytest.mark.timeout(3 * 3600)
@pytest.mark.parametrize("service", ["fuzz", "guarded"])
def test_the_service_keeps_to_its_document_over_twenty_thousand_requests(
    service: str, request: pytest.FixtureRequest
) -> None:
    fuzz: Fuzz = request.getfixturevalue(service)
    fuzz.requests.clear()
    for seed in range(2, 100):
        run(fuzz, each=60, seed=seed)
        if fuzz.requests.total() >= 20_000:
            break
    assert fuzz.requests.total() >= 20_000
