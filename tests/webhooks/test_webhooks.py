"""The webhook store against real Redis servers: which deliveries there are, when they are due, and who has them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Coroutine, Iterator
from datetime import datetime, timedelta
from typing import Any, TypeVar, get_args

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from lrcore.jobs.job import JobError, JobOptions
from lrcore.jobs.states import State
from lrcore.store.queue import QUEUE
from lrcore.webhooks.endpoints import (
    BOUNDS,
    Bounds,
    DeliveryNotFound,
    TooManyWebhooks,
    WebhookDisabled,
    WebhookNotFound,
    WebhookStore,
)
from lrcore.webhooks.outbox import Outbox, Outcome, Parcel, signature
from lrcore.webhooks.records import Attempt, Delivery, Event
from tests.factories import SPEC
from tests.stores import JobStore

T = TypeVar("T")

EVENTS: list[Event] = list(get_args(Event))
LEASE = 30.0
SHORT = 0.02
URL = "http://example.org/hook"


class Dispatching:
    """A dispatcher's view of the store, without asyncio."""

    def __init__(self, url: str, bounds: Bounds = BOUNDS) -> None:
        self.runner = asyncio.Runner()
        self.outbox = Outbox(AsyncRedis.from_url(url, decode_responses=True), bounds=bounds)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    def fan_out(self) -> int:
        return self.run(self.outbox.fan_out())

    def take(
        self, most: int = 64, most_of_one: int = 64, most_of_tenant: int = 64, lease: float = LEASE, **held: int
    ) -> list[Parcel]:
        return self.run(self.outbox.take(most, most_of_one, most_of_tenant, lease, held))

    def settle(self, parcel: Parcel, outcome: Outcome, delay: float = 0.0, **attempt: Any) -> bool:
        settled = Attempt(at="", milliseconds=3, **attempt)
        return self.run(self.outbox.settle(parcel, settled, outcome, delay))

    def close(self) -> None:
        self.run(self.outbox.close())
        self.runner.close()


@pytest.fixture
def webhooks(redis: Redis) -> WebhookStore:
    return WebhookStore(redis)


@pytest.fixture
def dispatching(redis: Redis, any_redis: str) -> Iterator[Dispatching]:
    found = Dispatching(any_redis)
    yield found
    found.close()


def registered(webhooks: WebhookStore, events: list[Event] = EVENTS, label: str | None = None) -> str:
    return webhooks.register(URL, events, label, "")[0].id


def event_types(parcels: list[Parcel]) -> list[str]:
    return [json.loads(parcel.body)["type"] for parcel in parcels]


def listed(webhooks: WebhookStore, webhook_id: str) -> list[Delivery]:
    return webhooks.page(webhook_id, 100, None)[0]


def delivered(dispatching: Dispatching) -> list[Parcel]:
    """Everything that is due, in the order in which it goes out."""
    gone: list[Parcel] = []
    while dispatching.fan_out():
        pass
    while parcels := dispatching.take():
        for parcel in parcels:
            assert dispatching.settle(parcel, "delivered", status=200)
        gone += parcels
    return gone


def test_a_signature_is_that_of_the_specification_s_example() -> None:
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'

    made = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)

    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_without_an_endpoint_nothing_is_kept(store: JobStore, webhooks: WebhookStore, redis: Redis) -> None:
    store.cancel(store.create(SPEC).id)
    assert not redis.exists("lrserve:outbox")

    webhook_id = registered(webhooks)
    store.create(SPEC)
    assert redis.xlen("lrserve:outbox") == 1

    webhooks.remove(webhook_id)
    store.create(SPEC)
    assert redis.xlen("lrserve:outbox") == 1


def test_every_change_of_state_is_told_once_and_in_order(
    store: JobStore, webhooks: WebhookStore, dispatching: Dispatching
) -> None:
    webhook_id = registered(webhooks)
    job = store.create(SPEC, JobOptions(labels=["team=a"]))
    store.pause(job.id)
    store.resume(job.id)
    claim = store.claim([QUEUE], "a", LEASE)
    assert claim is not None
    store.finish(claim, State.FAILED, JobError(type="error", message="it broke: \u00fc" * 1000))

    parcels = delivered(dispatching)

    assert event_types(parcels) == ["job.queued", "job.paused", "job.queued", "job.running", "job.failed"]
    last = json.loads(parcels[-1].body)
    assert last["data"].pop("error") == {"type": "error", "message": ("it broke: \u00fc" * 1000)[:4000]}
    assert last["data"] == {"id": job.id, "kind": "training", "state": "failed", "attempt": 1, "labels": ["team=a"]}
    finished = datetime.fromisoformat(store.get(job.id).finished_at or "")
    assert abs(datetime.fromisoformat(last["timestamp"]) - finished) < timedelta(seconds=1)
    assert max(len(parcel.body) for parcel in parcels) < 10_000
    assert {delivery.state for delivery in listed(webhooks, webhook_id)} == {"delivered"}
    assert delivered(dispatching) == []


def test_the_deliveries_of_one_job_wait_for_each_other_and_those_of_others_do_not(
    store: JobStore, webhooks: WebhookStore, dispatching: Dispatching
) -> None:
    registered(webhooks)
    one, two = store.create(SPEC).id, store.create(SPEC).id
    store.cancel(one)
    dispatching.fan_out()

    first, other = dispatching.take()
    assert [json.loads(parcel.body)["data"]["id"] for parcel in (first, other)] == [one, two]
    assert dispatching.take() == []

    dispatching.settle(first, "retry", 60, status=500, error="it answered 500")  # a failure does not hold up the next
    assert event_types(dispatching.take()) == ["job.cancelled"]


def test_events_and_labels_choose(store: JobStore, webhooks: WebhookStore, dispatching: Dispatching) -> None:
    ends, mine = registered(webhooks, ["job.cancelled"]), registered(webhooks, label="mine")
    job = store.create(SPEC, JobOptions(labels=["mine", "too"]))
    store.cancel(job.id)
    store.cancel(store.create(SPEC, JobOptions(labels=["theirs"])).id)
    store.create(SPEC)

    delivered(dispatching)

    assert [each.event for each in listed(webhooks, ends)] == ["job.cancelled"] * 2
    assert [(each.event, each.job_id) for each in listed(webhooks, mine)] == [
        ("job.cancelled", job.id),
        ("job.queued", job.id),
    ]


def test_an_endpoint_is_not_told_of_what_was_before_it(
    store: JobStore, webhooks: WebhookStore, dispatching: Dispatching
) -> None:
    registered(webhooks)
    store.create(SPEC)
    time.sleep(0.01)
    late = registered(webhooks)

    delivered(dispatching)

    assert listed(webhooks, late) == []


def test_two_dispatchers_make_and_take_each_delivery_once(
    store: JobStore, webhooks: WebhookStore, dispatching: Dispatching, any_redis: str
) -> None:
    registered(webhooks)
    for _ in range(50):
        store.create(SPEC)
    others = [Outbox(AsyncRedis.from_url(any_redis, decode_responses=True)) for _ in range(3)]

    async def side_by_side() -> list[str]:
        taken: list[str] = []

        async def one(outbox: Outbox) -> None:
            while await outbox.fan_out():
                pass
            while parcels := await outbox.take(4, 64, 64, LEASE, {}):
                taken.extend(parcel.id for parcel in parcels)

        await asyncio.gather(*map(one, others))
        for outbox in others:
            await outbox.close()
        return taken

    taken = asyncio.run(side_by_side())

    assert len(taken) == len(set(taken)) == 50


def test_a_delivery_whose_lease_ran_out_is_due_again_with_the_same_id_and_body(
    store: JobStore, webhooks: WebhookStore, dispatching: Dispatching
) -> None:
    webhook_id = registered(webhooks)
    store.create(SPEC)
    dispatching.fan_out()
    [lost] = dispatching.take(lease=SHORT)
    assert dispatching.take() == []
    time.sleep(2 * SHORT)

    [again] = dispatching.take()

    assert (again.id, again.body) == (lost.id, lost.body)
    assert not dispatching.settle(lost, "failed", error="too late")  # the first holder was only frozen
    assert dispatching.settle(again, "delivered", status=204)
    assert not dispatching.settle(again, "delivered", status=204)
    [delivery] = listed(webhooks, webhook_id)
    assert (delivery.state, [attempt.status for attempt in delivery.attempts]) == ("delivered", [204])


def test_so_many_are_in_flight_to_one_endpoint_and_no_more(
    store: JobStore, webhooks: WebhookStore, dispatching: Dispatching
) -> None:
    slow, other = registered(webhooks), registered(webhooks, ["job.queued"], "other")
    for _ in range(9):
        store.create(SPEC)
    store.create(SPEC, JobOptions(labels=["other"]))
    dispatching.fan_out()

    taken = dispatching.take(most_of_one=3)

    assert sorted(parcel.webhook_id for parcel in taken) == sorted([slow] * 3 + [other])
    assert dispatching.take(most_of_one=3) == []
    dispatching.settle(next(parcel for parcel in taken if parcel.webhook_id == slow), "delivered", status=200)
    assert len(dispatching.take(most_of_one=3)) == 1


def test_a_tenant_whose_endpoints_all_hang_leaves_room_for_the_others(
    store: JobStore, webhooks: WebhookStore, dispatching: Dispatching
) -> None:
    hanging = [registered(webhooks.of("slow")) for _ in range(4)]
    other = registered(webhooks.of("fast"))
    for _ in range(3):
        store.of("slow").create(SPEC)
    store.of("fast").create(SPEC)
    dispatching.fan_out()

    taken = dispatching.take(most_of_tenant=5)

    assert sorted(parcel.tenant for parcel in taken) == ["fast"] + ["slow"] * 5
    assert [parcel.webhook_id for parcel in taken if parcel.tenant == "fast"] == [other]
    assert {parcel.webhook_id for parcel in taken if parcel.tenant == "slow"} <= set(hanging)
    assert dispatching.take(most_of_tenant=5, slow=5) == []
    assert len(dispatching.take(most_of_tenant=5, slow=3)) == 2


def test_a_retry_is_due_after_its_delay(store: JobStore, webhooks: WebhookStore, dispatching: Dispatching) -> None:
    webhook_id = registered(webhooks)
    store.create(SPEC)
    dispatching.fan_out()
    [parcel] = dispatching.take()

    dispatching.settle(parcel, "retry", 0.1, status=500, error="it answered 500")

    [delivery] = listed(webhooks, webhook_id)
    assert (delivery.state, delivery.attempts[0].status) == ("pending", 500)
    assert delivery.next_attempt_at is not None
    assert delivery.next_attempt_at > delivery.attempts[0].at
    assert dispatching.take() == []
    time.sleep(0.12)
    [again] = dispatching.take()
    assert (again.id, again.failures) == (parcel.id, 1)


def test_an_endpoint_that_is_gone_is_disabled(
    store: JobStore, webhooks: WebhookStore, dispatching: Dispatching
) -> None:
    webhook_id = registered(webhooks)
    store.cancel(store.create(SPEC).id)
    dispatching.fan_out()
    [parcel] = dispatching.take()

    dispatching.settle(parcel, "gone", status=410, error="it answered 410")
    store.create(SPEC)

    found = webhooks.get(webhook_id)
    assert (found.enabled, found.disabled_reason) == (False, "it answered 410 Gone")
    assert delivered(dispatching) == []
    for ask in (lambda: webhooks.test(webhook_id), lambda: webhooks.redeliver(webhook_id, parcel.id)):
        with pytest.raises(WebhookDisabled):
            ask()
    assert webhooks.change(webhook_id, {"enabled": True}).disabled_reason is None
    assert event_types(delivered(dispatching)) == ["job.cancelled"]  # what waited; nothing of the time between


def test_a_failed_delivery_is_sent_again_on_demand(
    store: JobStore, webhooks: WebhookStore, dispatching: Dispatching
) -> None:
    webhook_id = registered(webhooks)
    store.create(SPEC)
    dispatching.fan_out()
    [parcel] = dispatching.take()
    assert webhooks.redeliver(webhook_id, parcel.id).next_attempt_at is None  # it is being sent
    assert dispatching.take() == []
    dispatching.settle(parcel, "failed", error="no answer")

    assert webhooks.redeliver(webhook_id, parcel.id).state == "pending"

    [again] = delivered(dispatching)
    assert (again.id, again.body, again.failures) == (parcel.id, parcel.body, 0)
    [delivery] = listed(webhooks, webhook_id)
    assert (delivery.state, [attempt.error for attempt in delivery.attempts]) == ("delivered", ["no answer", None])
    with pytest.raises(DeliveryNotFound):
        webhooks.redeliver(registered(webhooks), parcel.id)
    with pytest.raises(WebhookNotFound):
        webhooks.redeliver("nobody", parcel.id)


def test_ended_deliveries_are_kept_for_some_time_and_up_to_some_number(
    store: JobStore, redis: Redis, any_redis: str
) -> None:
    few = Bounds(pending=4, ended=2, ended_seconds=0.2)
    webhooks, dispatching = WebhookStore(redis, bounds=few), Dispatching(any_redis, few)
    webhook_id = registered(webhooks)
    for _ in range(6):
        store.create(SPEC)
    dispatching.fan_out()

    full = listed(webhooks, webhook_id)
    assert [each.state for each in full] == ["failed"] * 2 + ["pending"] * 4
    assert full[0].attempts[0].error == "not sent: 4 deliveries wait already"

    delivered(dispatching)
    assert [each.state for each in listed(webhooks, webhook_id)] == ["delivered"] * 2
    time.sleep(0.25)
    dispatching.take()
    assert listed(webhooks, webhook_id) == []
    assert redis.keys("lrserve:delivery:*") + redis.keys("lrserve:attempts:*") == []
    dispatching.close()


def test_a_removed_endpoint_leaves_nothing(
    store: JobStore, webhooks: WebhookStore, dispatching: Dispatching, redis: Redis
) -> None:
    before = set(map(str, redis.keys()))
    webhook_id = registered(webhooks)
    jobs = [store.create(SPEC).id for _ in range(3)]
    for job_id in jobs:
        store.cancel(job_id)
    dispatching.fan_out()
    retried, *_ = dispatching.take()
    dispatching.settle(retried, "retry", 60, error="no answer")
    [held] = dispatching.take()

    webhooks.remove(webhook_id)

    assert not dispatching.settle(held, "delivered", status=200)
    left = set(map(str, redis.keys())) - before
    assert {key for key in left if not any(job_id in key for job_id in jobs)} == {
        "lrserve:counters",
        "lrserve:delivery-order",
        "lrserve:finished",
        "lrserve:queues",
        "lrserve:record_bytes",
        "lrserve:jobs",
        "lrserve:jobs:cancelled",
        "lrserve:order",
        "lrserve:outbox",  # empty
    }
    assert {key.split(":")[1] for key in left if any(job_id in key for job_id in jobs)} == {"job", "events"}
    for ask in (webhooks.get, webhooks.remove, webhooks.test, webhooks.rotate):
        with pytest.raises(WebhookNotFound, match=webhook_id):
            ask(webhook_id)


def test_a_replaced_secret_signs_beside_the_new_one_for_a_day(
    webhooks: WebhookStore, dispatching: Dispatching, redis: Redis
) -> None:
    webhook, old = webhooks.register(URL, EVENTS, None, "")
    _, new = webhooks.rotate(webhook.id)
    webhooks.test(webhook.id)
    [parcel] = dispatching.take()
    assert parcel.secrets == (new, old)
    assert new not in repr(parcel)

    redis.hincrby(f"lrserve:webhook:{webhook.id}", "old_until", -24 * 3600 * 1000)
    webhooks.test(webhook.id)

    assert [parcel.secrets for parcel in dispatching.take()] == [(new,)]


def test_there_are_so_many_endpoints_and_no_more(webhooks: WebhookStore) -> None:
    ids = [registered(webhooks) for _ in range(BOUNDS.endpoints)]

    with pytest.raises(TooManyWebhooks, match="100"):
        registered(webhooks)
    assert sorted(webhook.id for webhook in webhooks.all()) == sorted(ids)
    other = webhooks.of("other")  # whose room nobody else takes
    made = registered(other)
    assert [webhook.id for webhook in other.all()] == [made]


def test_there_are_so_many_endpoints_of_all_tenants(redis: Redis) -> None:
    webhooks = WebhookStore(redis, bounds=Bounds(all_endpoints=3))
    for tenant in ("a", "b", "c"):
        registered(webhooks.of(tenant))

    with pytest.raises(TooManyWebhooks, match="3 of all"):
        registered(webhooks.of("d"))


def test_a_log_is_read_page_by_page(store: JobStore, webhooks: WebhookStore, dispatching: Dispatching) -> None:
    webhook_id = registered(webhooks)
    jobs = [store.create(SPEC).id for _ in range(5)]
    dispatching.fan_out()

    first, cursor = webhooks.page(webhook_id, 3, None)
    second, end = webhooks.page(webhook_id, 3, cursor)

    assert [delivery.job_id for delivery in first + second] == jobs[::-1]
    assert end is None


def test_waiting_for_events_ends_with_one_or_with_the_time(
    store: JobStore, webhooks: WebhookStore, dispatching: Dispatching
) -> None:
    registered(webhooks)
    outbox = dispatching.outbox
    assert not dispatching.run(outbox.wait(0.05))
    store.create(SPEC)
    assert dispatching.run(outbox.wait(5))
