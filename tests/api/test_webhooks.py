"""Webhooks from end to end: a running service, a worker's writes to its store, and an HTTP server as receiver."""

from __future__ import annotations

import base64
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from lrcore.jobs.states import State
from lrcore.store.connection import connect
from lrcore.store.queue import QUEUE
from lrcore.webhooks.endpoints import new_secret
from lrserve.supervisor import free_port
from tests.api.receiver import Json, Message, Receiver
from tests.conftest import Service, running_service, until
from tests.factories import job_spec, submitted
from tests.stores import JobStore

ROOT = Path(__file__).parent.parent.parent
SETTINGS = {
    "webhook_allow": '["127.0.0.0/8"]',
    "webhook_retry_seconds": "[0.1, 0.1]",
    "webhook_timeout_seconds": 1,
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service without workers that may send to this machine."""
    with running_service(tmp_path_factory.mktemp("webhooks") / "home", workers=0, **SETTINGS) as running:
        yield running


@contextmanager
def jobs(service: Service) -> Iterator[JobStore]:
    """The service's job store, to write to it as a worker does."""
    redis = connect(service.stack.services[-1].environment["LRSERVE_REDIS_URL"])
    yield JobStore(redis)
    redis.close()


@pytest.fixture
def worker(service: Service) -> Iterator[JobStore]:
    with jobs(service) as store:
        yield store


@pytest.fixture(autouse=True)
def nothing_left(service: Service) -> Iterator[None]:
    """Each test has its own endpoints and an empty queue."""
    yield
    for webhook in service.http.get("/v1/webhooks").json()["webhooks"]:
        service.http.delete(f"/v1/webhooks/{webhook['id']}").raise_for_status()
    for job in service.http.get("/v1/jobs?state=queued&limit=100").json()["jobs"]:
        service.http.post(job["links"]["cancel"]).raise_for_status()


def register(service: Service, url: str, **fields: Any) -> Json:
    answer = service.http.post("/v1/webhooks", json={"url": url} | fields)
    assert answer.status_code == 201, answer.text
    made: Json = answer.json()
    assert answer.headers["location"] == f"/v1/webhooks/{made['id']}"
    return made


def submit(service: Service, **fields: Any) -> str:
    return str(submitted(service.http, "jobs", job_spec(**fields))["id"])


def deliveries(service: Service, webhook: Json, query: str = "") -> list[Json]:
    path = f"/v1/webhooks/{webhook['id']}/deliveries{query}"
    found: list[Json] = service.http.get(path).raise_for_status().json()["deliveries"]
    return found


def over(service: Service, webhook: Json) -> list[Json]:
    """The endpoint's deliveries, once there are some and none is pending."""

    def ended() -> list[Json]:
        found = deliveries(service, webhook)
        return [] if any(each["state"] == "pending" for each in found) else found

    return until(ended)


def test_a_receiver_is_told_of_every_change_in_order_and_can_prove_the_sender(
    service: Service, receiver: Receiver, worker: JobStore
) -> None:
    webhook = register(service, receiver.url)
    job_id = submit(service, labels=["team=vision"])
    service.client.pause(job_id)
    service.client.resume(job_id)
    claim = worker.claim([QUEUE], "a", 30)
    assert claim is not None
    worker.finish(claim, State.SUCCEEDED)

    until(lambda: len(receiver.messages) >= 5)

    assert receiver.of(job_id) == ["queued", "paused", "queued", "running", "succeeded"]
    assert len({message.id for message in receiver.messages}) == 5
    for message in receiver.messages:
        assert message.signed_by(webhook["secret"])
        assert not message.signed_by(new_secret())
        assert abs(time.time() - int(message.headers["webhook-timestamp"])) < 60
        assert (message.path, message.headers["content-type"]) == ("/hook", "application/json")
    last = receiver.messages[-1].json
    assert last["type"] == "job.succeeded"
    assert last["timestamp"].endswith("Z")
    assert last["data"] == {
        "id": job_id,
        "kind": "training",
        "state": "succeeded",
        "attempt": 1,
        "labels": ["team=vision"],
        "error": None,
    }
    log = over(service, webhook)
    assert [entry["event"] for entry in log] == receiver.types()[::-1]
    assert [entry["attempts"][0]["status"] for entry in log] == [204] * 5
    assert log[0]["id"] == receiver.messages[-1].id


def test_a_receiver_can_verify_as_the_documentation_says(service: Service, receiver: Receiver) -> None:
    code = (ROOT / "docs" / "webhooks.md").read_text().split("```python\n")[1].split("```")[0]
    documented: Json = {}
    exec(code, documented)
    genuine = documented["genuine"]
    webhook = register(service, receiver.url)
    service.http.post(f"/v1/webhooks/{webhook['id']}/test").raise_for_status()
    until(lambda: receiver.messages)

    [message] = receiver.messages

    assert genuine(webhook["secret"], message.headers, message.body)
    assert not genuine(webhook["secret"], message.headers, message.body + b" ")
    assert not genuine(new_secret(), message.headers, message.body)


def test_a_failure_is_tried_again_under_the_same_id(service: Service, receiver: Receiver) -> None:
    receiver.answer = lambda message: 500 if len(receiver.messages) == 1 else 200
    webhook = register(service, receiver.url)
    submit(service)

    [delivery] = over(service, webhook)

    first, second = receiver.messages
    assert (first.id, first.body) == (second.id, second.body)
    assert second.signed_by(webhook["secret"])
    assert delivery["state"] == "delivered"
    assert [attempt["error"] for attempt in delivery["attempts"]] == ["it answered 500", None]


def test_after_the_last_retry_a_delivery_has_failed_and_can_be_sent_again(service: Service, receiver: Receiver) -> None:
    receiver.answer = lambda message: 503
    webhook = register(service, receiver.url)
    submit(service)
    [delivery] = over(service, webhook)
    assert (delivery["state"], len(delivery["attempts"]), delivery["next_attempt_at"]) == ("failed", 3, None)

    receiver.answer = lambda message: 200
    again = service.http.post(f"/v1/webhooks/{webhook['id']}/deliveries/{delivery['id']}/redeliver")

    assert (again.status_code, again.json()["state"]) == (202, "pending")
    [delivery] = over(service, webhook)
    assert (delivery["state"], len(delivery["attempts"])) == ("delivered", 4)
    assert len({message.id for message in receiver.messages}) == 1


def test_an_endpoint_that_is_gone_is_disabled(service: Service, receiver: Receiver) -> None:
    receiver.answer = lambda message: 410
    webhook = register(service, receiver.url)
    path = f"/v1/webhooks/{webhook['id']}"
    submit(service)

    [delivery] = over(service, webhook)

    assert (delivery["state"], len(delivery["attempts"])) == ("failed", 1)
    found = service.http.get(path).json()
    assert (found["enabled"], found["disabled_reason"]) == (False, "it answered 410 Gone")
    refused = service.http.post(f"{path}/test")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:lrserve:problem:webhook-disabled")
    enabled = service.http.patch(path, json={"enabled": True}).json()
    assert (enabled["enabled"], enabled["disabled_reason"]) == (True, None)


def test_a_redirect_is_a_failure_and_is_not_followed(service: Service, receiver: Receiver) -> None:
    receiver.answer = lambda message: 307
    webhook = register(service, receiver.url)
    submit(service)

    [delivery] = over(service, webhook)

    assert delivery["state"] == "failed"
    assert delivery["attempts"][0]["error"] == "it answered 307; redirects are not followed"
    assert {message.path for message in receiver.messages} == {"/hook"}


def test_a_slow_endpoint_fails_and_holds_up_no_other(service: Service, receiver: Receiver) -> None:
    slow = Receiver()
    slow.answer = lambda message: time.sleep(1.5) or 200
    late, quick = register(service, slow.url), register(service, receiver.url)
    ids = [submit(service) for _ in range(24)]

    until(lambda: len(receiver.messages) == len(ids), 20)  # 24 s at least, if each waited for the one before

    assert {entry["state"] for entry in over(service, quick)} == {"delivered"}
    until(lambda: any(entry["attempts"] for entry in deliveries(service, late)))
    errors = {attempt["error"] for entry in deliveries(service, late) for attempt in entry["attempts"]}
    assert errors == {"no answer within 1 s"}
    slow.close()


def test_a_test_event_goes_to_the_endpoint_whatever_it_wants(service: Service, receiver: Receiver) -> None:
    webhook = register(service, receiver.url, events=["job.failed"], label="none")
    other = register(service, receiver.url)

    answer = service.http.post(f"/v1/webhooks/{webhook['id']}/test")

    assert answer.status_code == 202
    assert (answer.json()["event"], answer.json()["job_id"]) == ("webhook.test", None)
    [delivery] = over(service, webhook)
    assert delivery["id"] == answer.json()["id"] == receiver.messages[0].id
    assert receiver.messages[0].json["data"] == {"webhook": webhook["id"]}
    assert deliveries(service, other) == []


def test_events_and_labels_choose_and_can_be_changed(service: Service, receiver: Receiver) -> None:
    webhook = register(service, receiver.url, events=["job.cancelled"], label="mine")
    path = f"/v1/webhooks/{webhook['id']}"
    mine, other = submit(service, labels=["mine"]), submit(service)
    service.client.cancel(other)
    service.client.cancel(mine)
    until(lambda: receiver.types() == ["job.cancelled"])
    assert receiver.of(mine) == ["cancelled"]

    changed = service.http.patch(path, json={"label": None, "events": ["job.queued"], "description": "all"}).json()
    assert (changed["label"], changed["events"], changed["description"]) == (None, ["job.queued"], "all")
    assert service.http.patch(path, json={}).json() == changed == service.http.get(path).json()
    service.client.cancel(another := submit(service))

    until(lambda: receiver.of(another) == ["queued"])
    assert len(receiver.messages) == 2


def test_the_secret_is_shown_once(service: Service, receiver: Receiver) -> None:
    webhook = register(service, receiver.url)
    path = f"/v1/webhooks/{webhook['id']}"
    secret = webhook["secret"]
    service.http.post(f"{path}/test").raise_for_status()
    over(service, webhook)

    rotated = service.http.post(f"{path}/rotate").raise_for_status().json()
    service.http.post(f"{path}/test").raise_for_status()
    over(service, webhook)

    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    assert rotated["secret"] not in ("", secret)
    assert all(receiver.messages[1].signed_by(each) for each in (secret, rotated["secret"]))
    answers = [service.http.get(each).text for each in (path, "/v1/webhooks", f"{path}/deliveries")]
    answers.append(service.http.patch(path, json={"enabled": True}).text)
    for text in (*answers, service.log.read_text()):
        assert "whsec_" not in text
        assert secret.removeprefix("whsec_") not in text


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({}, ["body", "url"]),
        ({"url": "ftp://example.org/"}, ["body", "url"]),
        ({"url": "example.org"}, ["body", "url"]),
        ({"url": "http://user:password@example.org/"}, ["body", "url"]),
        ({"url": "http://example.org/#part"}, ["body", "url"]),
        ({"url": "http://10.0.0.1/"}, ["body", "url"]),
        ({"url": "http://169.254.169.254/latest"}, ["body", "url"]),
        ({"url": "http://0.0.0.0/"}, ["body", "url"]),
        ({"url": "http://3232235521/"}, ["body", "url"]),  # 192.168.0.1
        ({"url": "http://0xc0.0250.1/"}, ["body", "url"]),  # 192.168.0.1
        ({"url": "http://[::1]/"}, ["body", "url"]),
        ({"url": "http://[::ffff:10.0.0.1]/"}, ["body", "url"]),
        ({"url": "http://example.org/", "events": []}, ["body", "events"]),
        ({"url": "http://example.org/", "events": ["job.lost"]}, ["body", "events", 0]),
        ({"url": "http://example.org/", "label": "a b"}, ["body", "label"]),
        ({"url": "http://example.org/", "secret": "mine"}, ["body", "secret"]),
    ],
)
def test_a_wrong_endpoint_is_refused_with_the_name_of_the_field(body: Json, loc: list[Any], service: Service) -> None:
    answer = service.http.post("/v1/webhooks", json=body)

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["loc"] == loc


@pytest.mark.parametrize("change", [{"url": None}, {"enabled": None}, {"enabled": 1}, {"events": None}, {"id": "x"}])
def test_a_wrong_change_is_refused_with_the_name_of_the_field(change: Json, service: Service) -> None:
    webhook = register(service, "http://example.org/")
    path = f"/v1/webhooks/{webhook['id']}"

    answer = service.http.patch(path, json=change)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["body", *change]
    assert service.http.patch(path, json={"url": "http://10.0.0.1/"}).status_code == 422
    assert service.http.get(path).json()["url"] == "http://example.org/"


def test_what_is_not_there_is_not_found(service: Service) -> None:
    webhook = register(service, "http://example.org/")
    path = f"/v1/webhooks/{webhook['id']}"
    missing = service.http.post(f"{path}/deliveries/nothing/redeliver")
    assert (missing.status_code, missing.json()["type"]) == (404, "urn:lrserve:problem:delivery-not-found")
    assert service.http.delete(path).status_code == 204

    answers = [
        service.http.get(path),
        service.http.delete(path),
        service.http.patch(path, json={"enabled": False}),
        service.http.patch(path, json={}),
        *(service.http.post(f"{path}/{verb}") for verb in ("test", "rotate", "deliveries/nothing/redeliver")),
        service.http.get(f"{path}/deliveries"),
    ]

    for answer in answers:
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:lrserve:problem:webhook-not-found")


@pytest.mark.slowest
def test_two_services_on_one_store_tell_each_change_once(service: Service, receiver: Receiver) -> None:
    webhook = register(service, receiver.url)
    port = free_port()
    command = [sys.executable, "-m", "lrserve.api", "--port", str(port)]
    other = subprocess.Popen(command, env=service.stack.services[-1].environment, stdout=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as http:
            until(lambda: _up(http))
            ids = [submit(service) for _ in range(40)]
            for job_id in ids:
                http.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()
            until(lambda: len(receiver.messages) >= 80)
    finally:
        other.terminate()
        other.wait(10)  # docker-compose.yml gives it no longer
    time.sleep(0.3)

    assert len(receiver.messages) == 80
    for job_id in ids:
        assert receiver.of(job_id) == ["queued", "cancelled"]
    assert len(over(service, webhook)) == 20  # a page


def _up(http: httpx.Client) -> bool:
    try:
        return http.get("/healthz").is_success
    except httpx.TransportError:
        return False


@pytest.mark.slow
def test_a_killed_service_delivers_later_what_it_was_delivering(service: Service, receiver: Receiver) -> None:
    arrived, killed = threading.Event(), threading.Event()

    def hang(message: Message) -> int:
        if not arrived.is_set():
            arrived.set()
            killed.wait(60)
        return 200

    receiver.answer = hang
    webhook = register(service, receiver.url)
    submit(service)
    assert arrived.wait(60)
    service.kill("api")
    killed.set()
    service.revive("api")
    until(lambda: _up(service.http))

    [delivery] = over(service, webhook)

    assert delivery["state"] == "delivered"
    assert {message.id for message in receiver.messages} == {delivery["id"]}
    assert len(receiver.messages) == 2


def test_deliveries_go_on_when_redis_is_back(service: Service, receiver: Receiver) -> None:
    webhook = register(service, receiver.url)
    receiver.answer = lambda message: 500
    first = submit(service)
    until(lambda: receiver.messages)

    service.kill("redis")
    assert service.http.get("/v1/webhooks").status_code == 503
    receiver.answer = lambda message: 200
    service.revive("redis")
    until(lambda: service.http.get("/v1/webhooks").is_success)
    second = submit(service)

    until(lambda: receiver.of(second) == ["queued"])
    assert [entry["state"] for entry in over(service, webhook)] == ["delivered"] * 2
    assert set(receiver.of(first)) == {"queued"}
