"""The job store against real Redis servers: pages, queues, events, and what is estimated and stale."""

from __future__ import annotations

import json
import time

import pytest
from redis import Redis

from lrcore.access.limits import LimitStore
from lrcore.jobs.ids import NOBODY
from lrcore.jobs.job import Best, JobOptions
from lrcore.jobs.states import State
from lrcore.store.queue import QUEUE, broker_list
from lrcore.store.records import ENOUGH_MESSAGES, Queue
from tests.conftest import until
from tests.factories import LEASE, MOST, SHORT, SPEC, claimed, epoch, progress, running
from tests.stores import JobStore


def test_pages_are_newest_first_and_complete(store: JobStore) -> None:
    ids = [store.create(SPEC).id for _ in range(7)][::-1]

    seen: list[str] = []
    cursor = None
    for expected in (3, 3, 1):
        jobs, cursor = store.page(limit=3, cursor=cursor)
        assert len(jobs) == expected
        seen += [job.id for job in jobs]

    assert cursor is None
    assert seen == ids


def test_a_page_that_is_just_full_is_the_last(store: JobStore) -> None:
    for _ in range(3):
        store.create(SPEC)

    assert store.page(limit=3)[1] is None


def test_a_page_does_not_shift_when_jobs_come_and_move_on(store: JobStore) -> None:
    ids = [store.create(SPEC).id for _ in range(4)][::-1]
    first, cursor = store.page(limit=2)
    store.create(SPEC)
    claimed(store)

    second, _ = store.page(limit=2, cursor=cursor)

    assert [job.id for job in first + second] == ids


def test_a_state_s_pages_leave_the_other_states_out(store: JobStore) -> None:
    held = [running(store).id for _ in range(3)]
    for _ in range(3):
        store.create(SPEC)

    first, cursor = store.page(state=State.RUNNING, limit=2)
    second, end = store.page(state=State.RUNNING, limit=2, cursor=cursor)

    assert [job.id for job in first + second] == held[::-1]
    assert end is None


def test_a_job_is_listed_in_its_state_alone(store: JobStore) -> None:
    done, held, waiting = running(store), running(store), store.create(SPEC)
    store.finish(done, State.SUCCEEDED)

    listed = {state: [job.id for job in store.page(state=state)[0]] for state in State}

    assert listed == {state: [] for state in State} | {
        State.SUCCEEDED: [done.id],
        State.RUNNING: [held.id],
        State.QUEUED: [waiting.id],
    }


def test_a_waiting_job_without_a_message_is_noticed(store: JobStore, redis: Redis) -> None:
    for hardware in (None, None, None, "gpu"):
        store.create(SPEC, JobOptions(hardware=hardware))
    redis.rpush(broker_list(QUEUE), "a message")

    assert store.queues() == [Queue(QUEUE, 3, 0, 1), Queue("gpu", 1, 0, 0)]
    assert [queue.missing_notifications for queue in store.queues()] == [2, 1]


def test_more_messages_than_jobs_are_no_matter() -> None:
    assert Queue(QUEUE, waiting=1, workers=1, messages=2).missing_notifications == 0


def test_a_long_queue_is_not_announced_job_by_job() -> None:
    assert Queue(QUEUE, waiting=10**6, workers=3, messages=10).missing_notifications == ENOUGH_MESSAGES - 10
    assert Queue(QUEUE, waiting=10**6, workers=10**4, messages=0).missing_notifications == 2 * 10**4


def test_workers_are_counted_while_they_show_themselves(store: JobStore) -> None:
    store.present("a", ["gpu", QUEUE], LEASE)
    store.present("b", [QUEUE], SHORT)
    assert store.workers() == 2
    assert [queue.workers for queue in store.queues()] == [2, 1]

    until(lambda: store.workers() == 1)
    store.absent("a")

    assert store.workers() == 0
    assert [queue.workers for queue in store.queues()] == [0, 0]


def test_a_job_s_story_is_told_in_its_events(store: JobStore, redis: Redis) -> None:
    claim = running(store)
    store.beat(claim, LEASE, progress(4))
    store.beat(claim, LEASE, progress(4))  # nothing new: no event
    store.add_epoch(claim, LEASE, epoch(0), Best(epoch=0, test_accuracy=0.5))
    store.finish(claim, State.SUCCEEDED)

    published = [fields["type"] for _, fields in redis.xrange(store.events_key(claim.id))]

    assert published == ["state", "state", "progress", "epoch", "state", "end"]


def test_of_the_news_of_progress_the_last_one_is_kept(store: JobStore, redis: Redis) -> None:
    claim = running(store)
    for step in (4, 5):
        store.beat(claim, LEASE, progress(step))
    store.add_epoch(claim, LEASE, epoch(0), Best(epoch=0, test_accuracy=0.5))
    store.beat(claim, LEASE, progress(6))

    published = [(fields["type"], fields["data"]) for _, fields in redis.xrange(store.events_key(claim.id))]

    assert [kind for kind, _ in published] == ["state", "state", "epoch", "progress"]
    assert published[-1][1] == progress(6).model_dump_json()


def test_what_is_written_is_published(store: JobStore, redis: Redis) -> None:
    claim = running(store)
    with redis.pubsub() as heard:
        heard.subscribe(store.events_key(claim.id))
        until(lambda: heard.get_message(timeout=1))
        store.add_epoch(claim, LEASE, epoch(0), Best(epoch=0, test_accuracy=0.5))
        message = until(lambda: heard.get_message(timeout=1))

    (event_id, fields) = redis.xrevrange(store.events_key(claim.id), count=1)[0]
    assert json.loads(message["data"]) == [event_id, "epoch", fields["data"]]


def test_an_epoch_that_comes_out_the_same_again_is_told_once(store: JobStore, redis: Redis) -> None:
    claim, best = running(store), Best(epoch=0, test_accuracy=0.5)
    for index in range(3):
        store.add_epoch(claim, LEASE, epoch(index), best)

    store.add_epoch(claim, LEASE, epoch(1).model_copy(update={"seconds": 9.0}), best)

    assert store.epochs(claim.id) == [epoch(index) for index in range(3)]
    published = [fields["type"] for _, fields in redis.xrange(store.events_key(claim.id))]
    assert published.count("epoch") == 3


def test_jobs_are_listed_as_they_came_whatever_their_ids(store: JobStore) -> None:
    ids = [store.put(name, SPEC)[0].id for name in ("b", "c", "a")]

    first, cursor = store.page(limit=2)
    second, _ = store.page(limit=2, cursor=cursor)

    assert [job.id for job in first + second] == ids[::-1]


def test_how_long_a_job_will_wait_is_estimated(store: JobStore, redis: Redis) -> None:
    store.present("a", [QUEUE], LEASE)
    store.present("b", [QUEUE], LEASE)
    assert store.create(SPEC).starts_in_seconds is None  # nobody knows yet
    claim = claimed(store)
    time.sleep(0.5)
    store.finish(claim, State.SUCCEEDED)

    waits = [store.create(SPEC).starts_in_seconds for _ in range(4)]

    assert waits == sorted(waits)
    assert 1.0 <= waits[-1] < 1.6  # four jobs of half a second for two workers, and time for slow machines
    last = store.page()[0][0]
    LimitStore(redis).change(NOBODY, {"running": 1})
    assert store.get(last.id).starts_in_seconds == pytest.approx(2 * waits[-1], abs=0.2)
    LimitStore(redis).change(NOBODY, {"gpu_seconds_per_day": 1})
    assert store.get(last.id).starts_in_seconds is not None
    redis.set(f"lrserve:spent:{int(time.time() // 86_400)}", 1000)
    assert store.get(last.id).starts_in_seconds is None  # not before tomorrow


def test_jobs_that_ended_long_ago_are_stale(store: JobStore) -> None:
    old = running(store)
    store.finish(old, State.SUCCEEDED)
    time.sleep(0.2)
    new = running(store)
    store.finish(new, State.SUCCEEDED)

    taken = store.take_stale(0.2 / 86_400, LEASE)
    assert taken is not None
    assert taken[0] == old.id
    assert store.take_stale(0.2 / 86_400, LEASE) is None  # the one is taken, the other too young
    assert not store.forget_stale(old.id, taken[1] - 1)  # another one of that id
    assert store.forget_stale(*taken)
    assert (store.take_stale(0, LEASE) or ("",))[0] == new.id


def test_a_label_that_nobody_uses_any_more_is_forgotten(store: JobStore) -> None:
    store.cancel(store.create(SPEC, JobOptions(hardware="typo")).id)
    waiting = store.create(SPEC, JobOptions(hardware="gpu"))
    store.present("a", [QUEUE], LEASE)

    store.reap(MOST)

    assert [queue.name for queue in store.queues()] == [QUEUE, "gpu"]
    assert store.get(waiting.id).position == 0
