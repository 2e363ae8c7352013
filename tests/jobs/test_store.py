"""The job store against real Redis servers: the bundled one and the machine's own."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis

from lrcore.jobs import scripts
from lrcore.jobs.ids import NOBODY
from lrcore.jobs.job import Best, Epoch, JobError, JobOptions, Progress
from lrcore.jobs.limits import LimitStore
from lrcore.jobs.queue import QUEUE, broker_list
from lrcore.jobs.states import State
from lrcore.jobs.store import (
    DRAINING,
    RINGS,
    Claim,
    Gap,
    IllegalMove,
    JobExists,
    JobNotFound,
    JobStore,
    KeyReused,
    LeaseLost,
    Queue,
    StoreFull,
    _creation,
)
from lrcore.jobs.training_spec import TrainingSpec
from tests.conftest import job_spec, until

SPEC = TrainingSpec.model_validate(job_spec())
LEASE = 30.0
SHORT = 0.05
MOST = 2  # losses


def epoch(index: int, accuracy: float = 0.5) -> Epoch:
    return Epoch(
        epoch=index, lr=[0.1], train_loss=1.0, train_accuracy=0.5, test_loss=1.0, test_accuracy=accuracy, seconds=0.1
    )


def progress(step: int) -> Progress:
    return Progress(epoch=0, epochs=3, step=step, steps=12, fraction=step / 12, eta_seconds=None)


def claimed(store: JobStore, worker: str = "a", lease: float = LEASE) -> Claim:
    claim = store.claim([QUEUE], worker, lease)
    assert claim is not None
    return claim


def running(store: JobStore, worker: str = "a", lease: float = LEASE) -> Claim:
    store.create(SPEC)
    return claimed(store, worker, lease)


def lapsed(store: JobStore, most: int = MOST) -> list[str]:
    """What a reaper finds once a short lease has run out."""
    return until(lambda: store.reap(most))


def test_a_new_job_is_queued_with_what_was_asked_for(store: JobStore) -> None:
    job = store.create(SPEC)

    assert (job.state, job.attempt, job.kind) == ("queued", 0, "training")
    assert TrainingSpec.model_validate(job.spec) == SPEC
    assert (job.progress.step, job.progress.steps, job.progress.epochs) == (0, 12, 3)
    assert (job.metrics, job.best, job.error, job.started_at, job.finished_at) == (None,) * 5
    assert job == store.get(job.id)


def test_a_job_that_nobody_made_is_not_found(store: JobStore) -> None:
    for look in (store.get, store.epochs, store.cancel):
        with pytest.raises(JobNotFound, match="nobody"):
            look("nobody")


@pytest.mark.parametrize("part", ["events", "epochs"])
def test_a_job_s_events_and_epochs_are_no_jobs(part: str, store: JobStore) -> None:
    claim = running(store)
    store.add_epoch(claim, LEASE, epoch(0), Best(epoch=0, test_accuracy=0.5))

    for look in (store.get, store.epochs, store.cancel):
        with pytest.raises(JobNotFound):
            look(f"{claim.id}:{part}")


def test_an_empty_queue_has_nothing_to_claim(store: JobStore) -> None:
    assert store.claim([QUEUE], "a", LEASE) is None


def test_jobs_are_claimed_in_the_order_they_came(store: JobStore) -> None:
    ids = [store.create(SPEC).id for _ in range(12)]

    assert [claimed(store).id for _ in ids] == ids


def test_a_claim_hands_over_the_job_and_a_token_of_its_own(store: JobStore) -> None:
    claim = running(store)
    job = store.get(claim.id)

    assert (claim.spec, claim.attempt) == (SPEC, 1)
    assert (job.state, job.attempt) == ("running", 1)
    assert job.started_at is not None
    assert running(store).token != claim.token


def test_no_two_workers_get_one_job(store: JobStore) -> None:
    ids = [store.create(SPEC).id for _ in range(40)]

    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda i: store.claim([QUEUE], f"worker {i}", LEASE), range(60)))

    assert sorted(claim.id for claim in claims if claim) == sorted(ids)


def test_a_queue_has_its_own_jobs(store: JobStore) -> None:
    store.create(SPEC, JobOptions(hardware="gpu"))

    assert store.claim([QUEUE], "a", LEASE) is None
    assert store.claim(["gpu"], "a", LEASE) is not None


def test_of_several_queues_the_best_job_is_taken_wherever_it_waits(store: JobStore) -> None:
    first, second, third = (
        store.create(SPEC, JobOptions(hardware=hardware, priority=priority)).id
        for hardware, priority in (("gpu", 1), (None, 9), ("gpu", 9))
    )

    claims = [store.claim(["gpu", QUEUE], "a", LEASE) for _ in range(3)]

    assert [(claim.id, claim.queue) for claim in claims if claim] == [(second, QUEUE), (third, "gpu"), (first, "gpu")]


def test_a_report_shows_in_the_job(store: JobStore) -> None:
    claim = running(store)

    store.beat(claim, LEASE, progress(4))
    store.add_epoch(claim, LEASE, epoch(0), Best(epoch=0, test_accuracy=0.5))

    job = store.get(claim.id)
    assert job.progress == progress(4)
    assert job.metrics == epoch(0)
    assert job.best == Best(epoch=0, test_accuracy=0.5)
    assert store.epochs(claim.id) == [epoch(0)]


def test_a_second_attempt_takes_the_place_of_the_epochs_it_repeats(store: JobStore) -> None:
    first = running(store)
    for index in range(3):
        store.add_epoch(first, LEASE, epoch(index), Best(epoch=0, test_accuracy=0.5))
    store.finish(first, State.QUEUED)

    second = claimed(store)
    store.add_epoch(second, LEASE, epoch(1, 0.9), Best(epoch=1, test_accuracy=0.9))

    assert store.epochs(second.id) == [epoch(0), epoch(1, 0.9)]


def test_an_epoch_that_is_missing_is_asked_for(store: JobStore) -> None:
    claim = running(store)

    store.add_epoch(claim, LEASE, epoch(0), Best(epoch=0, test_accuracy=0.5))
    with pytest.raises(Gap) as gap:
        store.add_epoch(claim, LEASE, epoch(2), Best(epoch=2, test_accuracy=0.5))
    assert gap.value.epoch == 1
    assert store.epochs(claim.id) == [epoch(0)]


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELLED])
def test_a_job_ends_as_its_worker_says(state: State, store: JobStore) -> None:
    claim = running(store)
    error = JobError(type="error", message="it broke") if state is State.FAILED else None

    store.finish(claim, state, error)

    job = store.get(claim.id)
    assert (job.state, job.error) == (state, error)
    assert job.finished_at is not None


def test_a_job_given_back_is_first_in_the_queue_again(store: JobStore) -> None:
    claim = running(store)
    store.create(SPEC)

    store.finish(claim, State.QUEUED)

    assert store.get(claim.id).state == "queued"
    again = claimed(store)
    assert (again.id, again.attempt) == (claim.id, 2)


def test_giving_a_job_back_is_no_loss(store: JobStore) -> None:
    store.create(SPEC)
    for _ in range(MOST + 2):
        claim = claimed(store)
        store.finish(claim, State.QUEUED)

    assert (store.get(claim.id).state, store.get(claim.id).attempt) == ("queued", MOST + 2)


def test_a_job_started_when_it_was_first_claimed(store: JobStore, redis: Redis) -> None:
    first = running(store)
    started = store.get(first.id).started_at
    store.finish(first, State.QUEUED)
    until(lambda: redis.time()[1] // 1000 != int(str(started)[-4:-1]))

    claimed(store)

    assert store.get(first.id).started_at == started


@pytest.mark.parametrize("taken", ["given back", "claimed again", "ended", "forgotten", "lost"])
def test_a_writer_whose_token_is_no_longer_the_job_s_writes_nothing(taken: str, store: JobStore, redis: Redis) -> None:
    claim = running(store)
    if taken == "forgotten":
        redis.flushall()
    elif taken == "lost":
        store.beat(claim, SHORT, None)
        lapsed(store)
    else:
        store.finish(claim, State.SUCCEEDED if taken == "ended" else State.QUEUED)
    if taken == "claimed again":
        claimed(store, "b")
    before = {key: redis.dump(key) for key in redis.scan_iter()}

    for write in (
        lambda: store.beat(claim, LEASE, progress(5)),
        lambda: store.add_epoch(claim, LEASE, epoch(0), Best(epoch=0, test_accuracy=0.5)),
        lambda: store.finish(claim, State.SUCCEEDED),
    ):
        with pytest.raises(LeaseLost, match=claim.id):
            write()

    assert {key: redis.dump(key) for key in redis.scan_iter()} == before


def test_a_queued_job_is_cancelled_at_once(store: JobStore) -> None:
    job = store.create(SPEC)

    assert store.cancel(job.id).state == "cancelled"
    assert store.claim([QUEUE], "a", LEASE) is None
    assert store.cancel(job.id).state == "cancelled"  # again is no error


def test_the_worker_of_a_running_job_is_asked_to_stop(store: JobStore) -> None:
    claim = running(store)
    assert store.beat(claim, LEASE, None) == ""

    assert store.cancel(claim.id).state == "running"

    assert store.beat(claim, LEASE, None) == "cancel"
    assert store.add_epoch(claim, LEASE, epoch(0), Best(epoch=0, test_accuracy=0.5)) == "cancel"


def test_a_job_that_is_given_back_with_a_cancel_pending_is_cancelled(store: JobStore) -> None:
    claim = running(store)
    store.cancel(claim.id)

    store.finish(claim, State.QUEUED)

    assert store.get(claim.id).state == "cancelled"


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED])
def test_a_cancel_that_comes_too_late_changes_no_end(state: State, store: JobStore) -> None:
    claim = running(store)
    store.cancel(claim.id)

    store.finish(claim, state)

    assert store.get(claim.id).state == state


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED])
def test_an_ended_job_cannot_be_cancelled(state: State, store: JobStore) -> None:
    claim = running(store)
    store.finish(claim, state)

    with pytest.raises(IllegalMove, match=f"is {state} and cannot be cancelled"):
        store.cancel(claim.id)


def test_a_lease_that_ran_out_puts_the_job_back(store: JobStore) -> None:
    claim = running(store, lease=SHORT)

    assert lapsed(store) == [claim.id]
    assert store.get(claim.id).state == "queued"
    assert claimed(store, "b").attempt == 2


def test_a_heartbeat_keeps_the_lease(store: JobStore) -> None:
    claim = running(store, lease=SHORT)
    store.beat(claim, LEASE, None)

    time.sleep(2 * SHORT)

    assert store.reap(MOST) == []


def test_a_worker_that_is_late_keeps_a_job_that_nobody_missed(store: JobStore) -> None:
    claim = running(store, lease=SHORT)
    time.sleep(2 * SHORT)

    store.beat(claim, LEASE, progress(4))

    assert store.reap(MOST) == []
    assert store.get(claim.id).progress == progress(4)


def test_many_reapers_find_a_lost_job_once(store: JobStore) -> None:
    ids = [running(store, lease=SHORT).id for _ in range(8)]
    time.sleep(2 * SHORT)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: store.reap(MOST), range(16)))

    assert sorted(job_id for ids in found for job_id in ids) == sorted(ids)
    assert [claimed(store).attempt for _ in ids] == [2] * 8


def test_a_job_may_lose_so_many_workers_and_no_more(store: JobStore) -> None:
    job = store.create(SPEC)
    for _ in range(MOST + 1):
        claimed(store, lease=SHORT)
        lapsed(store)

    ended = store.get(job.id)
    assert (ended.state, ended.attempt) == ("failed", MOST + 1)
    assert ended.error is not None
    assert ended.error.type == "worker_lost"


def test_a_lost_job_with_a_cancel_pending_is_cancelled(store: JobStore) -> None:
    claim = running(store, lease=SHORT)
    store.cancel(claim.id)

    lapsed(store)

    assert store.get(claim.id).state == "cancelled"


def test_a_worker_that_starts_again_frees_what_it_held_and_nothing_else(store: JobStore) -> None:
    mine, other = running(store, "a"), running(store, "b")

    assert store.abandon("a", MOST) == [mine.id]
    assert (store.get(mine.id).state, store.get(other.id).state) == ("queued", "running")


def test_a_job_that_was_left_behind_counts_as_a_loss(store: JobStore) -> None:
    claim = running(store)

    store.abandon("a", 0)

    assert store.get(claim.id).state == "failed"


def test_a_job_that_kills_its_worker_fails_with_all_that_is_known(store: JobStore) -> None:
    claim = running(store, "a")
    store.beat(claim, LEASE, None, "loading the data and the model, step 0 of 9, with 3.0 GiB resident")
    store.abandon("a", MOST, 2, "with exit status 1")
    assert (store.get(claim.id).state, store.get(claim.id).losses) == ("queued", 1)

    again = claimed(store, "a")
    store.beat(again, LEASE, None, "training, step 7 of 9, with 9.0 GiB resident")
    store.abandon("a", MOST, 2, "by signal 9 (SIGKILL)")

    job = store.get(claim.id)
    assert (job.state, job.losses) == ("failed", 2)
    assert job.error == JobError(
        type="worker_killed",
        message="its worker died 2 times while it ran this job, the last time by signal 9 (SIGKILL); "
        "last sign of life: training, step 7 of 9, with 9.0 GiB resident",
    )


def test_a_sign_of_life_is_that_of_the_attempt_that_died(store: JobStore) -> None:
    claim = running(store, "a")
    store.beat(claim, LEASE, None, "training, step 7 of 9")
    store.abandon("a", MOST, 2, "by signal 9 (SIGKILL)")
    claimed(store, "a")
    store.abandon("a", MOST, 2, "by signal 9 (SIGKILL)")

    error = store.get(claim.id).error
    assert error is not None
    assert error.message.endswith("last sign of life: the worker had taken the job")


def test_losses_to_infrastructure_are_no_deaths_by_a_job(store: JobStore) -> None:
    claim = running(store, "a", lease=SHORT)
    lapsed(store)
    claim = claimed(store, "a")
    store.beat(claim, LEASE, None, DRAINING)
    store.abandon("a", 10, 1, "by signal 9 (SIGKILL)")  # it took too long to end
    claimed(store, "a")
    store.abandon("a", 10)  # it ended by itself

    assert (store.get(claim.id).state, store.get(claim.id).losses) == ("queued", 3)
    claimed(store, "a")
    store.abandon("a", 10, 1, "by signal 9 (SIGKILL)")
    assert store.get(claim.id).state == "failed"


def test_a_job_that_killed_its_worker_with_a_cancel_pending_is_cancelled(store: JobStore) -> None:
    claim = running(store, "a")
    store.cancel(claim.id)

    store.abandon("a", MOST, 1, "by signal 9 (SIGKILL)")

    assert store.get(claim.id).state == "cancelled"


def test_the_lease_of_a_job_lasts_while_its_spec_is_read(store: JobStore) -> None:
    waves = " + ".join(f"{wave}(step / {n})" for n in (1, 2) for wave in ("sin", "cos"))
    data = {"type": "fake", "samples": 500, "image_size": 12}
    long = {"epochs": 10_000, "batch_size": 1, "interval": "step", "dataset": data}
    schedule = {"type": "LambdaLR", "lr_lambda": f"20 + {waves}"}
    # to read it takes many times the lease
    store.create(TrainingSpec.model_validate(job_spec() | long | {"schedule": schedule}))
    over, lost = threading.Event(), list[str]()

    def reap() -> None:
        while not over.wait(0.05):
            lost.extend(store.reap(MOST))

    reaper = threading.Thread(target=reap)
    reaper.start()
    try:
        claim = claimed(store, "a", lease=0.01)
        assert store.beat(claim, LEASE, None) == ""
    finally:
        over.set()
        reaper.join()
    assert lost == []


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
    assert Queue(QUEUE, waiting=1, workers=1, ringing=2).missing_notifications == 0


def test_a_long_queue_is_not_announced_job_by_job() -> None:
    assert Queue(QUEUE, waiting=10**6, workers=3, ringing=10).missing_notifications == RINGS - 10
    assert Queue(QUEUE, waiting=10**6, workers=10**4, ringing=0).missing_notifications == 2 * 10**4


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

    told = [fields["type"] for _, fields in redis.xrange(store.events_key(claim.id))]

    assert told == ["state", "state", "progress", "epoch", "state", "end"]


def test_of_the_news_of_progress_the_last_one_is_kept(store: JobStore, redis: Redis) -> None:
    claim = running(store)
    for step in (4, 5):
        store.beat(claim, LEASE, progress(step))
    store.add_epoch(claim, LEASE, epoch(0), Best(epoch=0, test_accuracy=0.5))
    store.beat(claim, LEASE, progress(6))

    told = [(fields["type"], fields["data"]) for _, fields in redis.xrange(store.events_key(claim.id))]

    assert [kind for kind, _ in told] == ["state", "state", "epoch", "progress"]
    assert told[-1][1] == progress(6).model_dump_json()


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
    told = [fields["type"] for _, fields in redis.xrange(store.events_key(claim.id))]
    assert told.count("epoch") == 3


def test_an_id_of_one_s_own_makes_one_job(store: JobStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: store.put("mine", SPEC), range(20)))

    assert [job.id for job, _ in made] == ["mine"] * 20
    assert sum(new for _, new in made) == 1
    assert [job.id for job in store.page()[0]] == ["mine"]


def test_an_id_of_one_s_own_stays_with_its_job(store: JobStore) -> None:
    store.put("mine", SPEC)
    other = store.create(SPEC)

    with pytest.raises(JobExists, match="mine"):
        store.put("mine", SPEC, JobOptions(priority=1))
    with pytest.raises(JobExists):
        store.put(other.id, SPEC)

    store.cancel("mine")
    store.forget("mine")
    assert store.put("mine", SPEC, JobOptions(priority=1))[1]


def test_jobs_are_listed_as_they_came_whatever_their_ids(store: JobStore) -> None:
    ids = [store.put(name, SPEC)[0].id for name in ("b", "c", "a")]

    first, cursor = store.page(limit=2)
    second, _ = store.page(limit=2, cursor=cursor)

    assert [job.id for job in first + second] == ids[::-1]


def test_a_key_names_one_request(store: JobStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: store.create(SPEC, key="once").id, range(20)))

    assert len(ids) == 1
    with pytest.raises(KeyReused, match="once"):
        store.create(SPEC, JobOptions(priority=1), key="once")


def test_an_error_is_tried_again_as_often_as_asked_for(store: JobStore, redis: Redis) -> None:
    job = store.create(SPEC, JobOptions(max_attempts=3))
    error = JobError(type="error", message="it broke")

    went = [store.finish(claimed(store), State.FAILED, error, again=True) for _ in range(3)]

    assert went == ["queued", "queued", "failed"]
    assert (store.get(job.id).attempt, store.get(job.id).error) == (3, error)
    told = [json.loads(fields["data"]) for _, fields in redis.xrange(store.events_key(job.id))]
    assert [event for event in told if "error" in event] == [
        {"state": state, "attempt": attempt, "error": error.model_dump()}
        for state, attempt in (("queued", 1), ("queued", 2), ("failed", 3))
    ]


def test_an_error_that_would_come_again_is_not_tried_again(store: JobStore) -> None:
    store.create(SPEC, JobOptions(max_attempts=3))

    assert store.finish(claimed(store), State.FAILED, JobError(type="diverged", message="")) == "failed"


def test_lost_workers_do_not_count_as_errors(store: JobStore) -> None:
    job = store.create(SPEC, JobOptions(max_attempts=2))
    error = JobError(type="error", message="it broke")
    for _ in range(MOST):
        store.lose(claimed(store), MOST)

    assert store.get(job.id).losses == MOST
    assert store.finish(claimed(store), State.FAILED, error, again=True) == "queued"
    assert store.finish(claimed(store), State.FAILED, error, again=True) == "failed"


def test_a_job_runs_for_so_long_and_no_longer(store: JobStore) -> None:
    job = store.create(SPEC, JobOptions(max_seconds=0.2))
    claim = claimed(store)
    assert store.beat(claim, LEASE, None) == ""
    store.finish(claim, State.QUEUED)
    time.sleep(0.3)  # waiting does not count
    claim = claimed(store)
    assert store.beat(claim, LEASE, None) == ""

    assert until(lambda: store.beat(claim, LEASE, None)) == "expire"
    store.finish(claim, State.QUEUED)

    ended = store.get(job.id)
    assert ended.state == "failed"
    assert ended.error is not None
    assert ended.error.type == "timeout"


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
    with pytest.raises(JobNotFound):
        store.forget(old.id, taken[1] - 1)  # another one of that id
    store.forget(*taken)
    assert (store.take_stale(0, LEASE) or ("",))[0] == new.id


def test_a_pause_that_comes_before_an_error_is_kept(store: JobStore) -> None:
    store.create(SPEC, JobOptions(max_attempts=2))
    claim = claimed(store)
    store.pause(claim.id)

    assert store.finish(claim, State.FAILED, JobError(type="error", message=""), again=True) == "paused"


def test_a_claim_that_redis_hears_twice_takes_one_job(store: JobStore) -> None:
    first, second = store.create(SPEC), store.create(SPEC)
    arguments = (scripts.CLAIM, "a", "a-token", 30_000, 1, "", QUEUE)

    assert store._run(*arguments) == store._run(*arguments)
    assert [store.get(job.id).state for job in (first, second)] == ["running", "queued"]


def test_a_submit_that_redis_hears_twice_makes_one_job(store: JobStore) -> None:
    arguments = (scripts.CREATE, *_creation(SPEC, JobOptions(), "once"))
    made = store._run(*arguments)
    claimed(store)

    assert store._run(*arguments)[0] == made[0] == "made"
    assert [job.state for job in store.page()[0]] == ["running"]


def test_a_label_that_nobody_uses_any_more_is_forgotten(store: JobStore) -> None:
    store.cancel(store.create(SPEC, JobOptions(hardware="typo")).id)
    waiting = store.create(SPEC, JobOptions(hardware="gpu"))
    store.present("a", [QUEUE], LEASE)

    store.reap(MOST)

    assert [queue.name for queue in store.queues()] == [QUEUE, "gpu"]
    assert store.get(waiting.id).position == 0


def test_a_job_that_this_version_cannot_read_fails_and_the_next_one_is_taken(store: JobStore, redis: Redis) -> None:
    broken, sound = store.create(SPEC), store.create(SPEC)
    redis.hset(f"lrserve:job:{broken.id}", "spec", SPEC.model_dump_json().replace("lenet", "another"))

    assert claimed(store).id == sound.id
    error = store.get(broken.id).error
    assert error is not None
    assert error.type == "invalid_spec"


def test_no_job_is_accepted_before_redis_is_full(store: JobStore, redis: Redis) -> None:
    claim = running(store)
    redis.set("ballast", "x" * 8_000_000)  # beside it, the buffers of connections come and go unnoticed
    used = redis.info("memory")["used_memory"]
    redis.config_set("maxmemory", int(used / 0.95))
    try:
        with pytest.raises(StoreFull, match="of its"):
            JobStore(redis).create(SPEC)  # another one: a look at the memory holds for a second
        store.add_epoch(claim, LEASE, epoch(0), Best(epoch=0, test_accuracy=0.5))
        assert store.finish(claim, State.SUCCEEDED) == "succeeded"
    finally:
        redis.config_set("maxmemory", 0)


def test_no_job_is_accepted_when_redis_is_full(redis: Redis) -> None:
    store = JobStore(redis)
    store._check_room()  # and will not look for a second
    redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreFull, match="nothing was stored"):
            store.create(SPEC)
    finally:
        redis.config_set("maxmemory", 0)
    assert store.page()[0] == []
