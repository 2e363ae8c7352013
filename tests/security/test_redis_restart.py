"""Redis with the users of docs/deploy/redis.acl has all that it had after a restart, by whichever script it came.

Redis 7 replays the append-only file with the rights of the default user. Without rights it leaves out every
transaction, and every script that wrote more than once, without a word.
"""

from __future__ import annotations

from typing import Any

import pytest
from redis import Redis

from lrcore.access.audit import AuditLog, Entry
from lrcore.access.keys import KeyStore, Role, new_key
from lrcore.access.limits import LimitStore
from lrcore.jobs.job import Best, JobError, JobOptions
from lrcore.jobs.states import RunState, State
from lrcore.store.queue import QUEUE
from lrcore.store.records import Claim, Judgement, NewJob, RunEnd
from lrcore.store.scripts import names, source
from lrcore.store.service_stats import WorkerStats
from lrcore.webhooks.endpoints import WebhookStore
from tests.conftest import SERVERS, until
from tests.factories import MOST, SPEC, epoch, experiment_of, progress
from tests.security.guarded import Guarded, assert_nothing_was_lost, contents, guarded_redis
from tests.store.experiments import run_epoch
from tests.store.test_format import migrate
from tests.stores import JobStore
from tests.webhooks.test_webhooks import EVENTS, URL, Dispatching

LEASE = 3600.0  # nothing runs out by itself while a test takes its time
SHORT = 0.01
BROKE = JobError(type="error", message="it broke")


def never_run(redis: Redis) -> list[str]:
    """The scripts that no client of this server has called since it started. redis-py loads them at the first call."""
    by_name = {name: redis.register_script(source(name)).sha for name in names() if not name.startswith("doctor/")}
    there: Any = redis.script_exists(*by_name.values())
    return [name for name, is_there in zip(by_name, there, strict=True) if not is_there]


def keys_limits_and_entries(api: Redis, operator: Redis) -> None:
    """What is written by transactions and by single commands."""
    keys = KeyStore(operator)
    assert KeyStore(api).add_first(new_key("vision", Role.ADMIN)[0])
    good, _ = keys.create("vision", Role.ADMIN, "sweeps", days=30)
    revoked, _ = KeyStore(api).create("vision", Role.READ)
    keys.revoke(revoked.id)
    LimitStore(operator).change("vision", {"running": 4, "requests_per_minute": 600, "steps": 10**6})
    LimitStore(api).change("vision", {"steps": None, "queued": 100})
    AuditLog(api).add(Entry("vision", good.id, "POST", "/v1/jobs"))


def claimed(store: JobStore, worker: str, job_id: str, lease: float = LEASE, most_runs: int = 1) -> Claim:
    """The job, or a shard of it, in the hands of a worker. It has to be the best one that waits."""
    claim = store.claim([QUEUE], worker, lease, most_runs)
    assert claim is not None
    assert claim.id.split("/")[0] == job_id
    return claim


def jobs(api: JobStore, worker: JobStore) -> None:
    """Jobs that workers have had, in every state, by every way into it."""
    for name in ("a", "gone"):
        worker.present(name, [QUEUE, "gpu"], LEASE, WorkerStats(version="1", host=name, busy=True))
    worker.absent("gone")
    assert worker.workers() == 1

    done = claimed(worker, "a", api.create(SPEC, JobOptions(labels=["one"], max_seconds=LEASE), key="once").id)
    worker.beat(done, LEASE, progress(4))
    for index in range(3):
        worker.add_epoch(done, LEASE, epoch(index), Best(epoch=index, test_accuracy=0.5))
    worker.add_epoch(done, LEASE, epoch(1, 0.9), Best(epoch=1, test_accuracy=0.9))  # again, with other figures
    worker.set_stored_bytes(done, 1000)
    assert worker.finish(done, State.SUCCEEDED, result='{"of": "a kind"}') == State.SUCCEEDED
    assert api.epochs(done.id)[-1].epoch == 1

    lost = claimed(worker, "b", api.create(SPEC).id, SHORT)
    until(lambda: worker.reap(MOST) == [lost.id])
    lost = claimed(worker, "b", lost.id)
    assert worker.abandon("b", MOST) == [lost.id]
    lost = claimed(worker, "b", lost.id)
    worker.lose(lost, MOST)
    assert (api.get(lost.id).state, api.get(lost.id).losses) == (State.FAILED, 3)

    again = claimed(worker, "a", api.create(SPEC, JobOptions(max_attempts=2)).id)
    assert worker.finish(again, State.FAILED, BROKE, again=True) == State.QUEUED
    again = claimed(worker, "a", again.id)
    assert worker.finish(again, State.FAILED, BROKE, again=True) == State.FAILED

    asked = claimed(worker, "a", api.create(SPEC).id)
    api.pause(asked.id)
    assert worker.beat(asked, LEASE, None) == "pause"
    assert worker.finish(asked, State.QUEUED) == State.PAUSED
    api.resume(asked.id)
    api.cancel(asked.id)

    for job in (api.create(SPEC), api.create(SPEC, JobOptions(labels=["none"]))):
        api.cancel(job.id)
        api.forget(job.id)
    stale = worker.take_stale(0, LEASE)
    assert stale is not None
    assert stale[0] == done.id

    running = claimed(worker, "a", api.put("mine", SPEC)[0].id)
    worker.beat(running, LEASE, progress(8))
    api.pause(api.create(SPEC).id)


def jobs_that_wait(api: JobStore) -> None:
    """Those of two tenants, for two kinds of hardware."""
    api.check_writable()
    api.check_size(SPEC)
    api.of("vision").put("mine", SPEC, JobOptions(labels=["one"]))
    first, second = api.create_many(
        [NewJob(SPEC, JobOptions(), tenant="vision"), NewJob(SPEC, JobOptions(hardware="gpu"))]
    )
    assert not isinstance(first, Exception)
    assert not isinstance(second, Exception)
    assert api.of("vision").prioritize(first.id, 7).position == 0
    assert {queue.name: queue.waiting for queue in api.queues()} == {QUEUE: 3, "gpu": 1}


def experiments(api: JobStore, worker: JobStore) -> None:
    """One that has ended, one that was deleted, and one with runs in every state."""
    for forgotten in (False, True):
        whole = claimed(worker, "a", api.create(experiment_of(2), JobOptions(priority=9)).id, most_runs=2)
        job_id = whole.id.split("/")[0]
        worker.report(whole, LEASE, 12, [run_epoch(0, 0), RunEnd(0, RunState.SUCCEEDED), run_epoch(1, 0)])
        worker.finish(whole, State.SUCCEEDED)
        assert api.get(job_id).state == State.SUCCEEDED
        if forgotten:
            api.forget(job_id)

    job_id = api.create(experiment_of(8), JobOptions(priority=9)).id
    first, second, third = (claimed(worker, name, job_id, most_runs=2) for name in "abc")
    worker.report(first, LEASE, 8, [run_epoch(0, 0), run_epoch(0, 1), RunEnd(1, RunState.FAILED, BROKE)])
    assert worker.judge(first, [Judgement("1", range(1), True), Judgement("2", range(2, 3), False)]) == [True, False]
    assert worker.reached(job_id, 0).keys() == set(range(6))
    worker.finish(second, State.QUEUED)
    worker.finish(third, State.SUCCEEDED)
    found = {run: view.state for run, view in api.runs(job_id).items()}
    assert found == {0: "running", 1: "failed", 2: "pruned", 3: "queued", 4: "succeeded", 5: "succeeded"}


def webhooks(api: Redis, guarded: Guarded, jobs: JobStore) -> None:
    """Endpoints, and deliveries on every stage of their way."""
    store = WebhookStore(api)
    kept, gone = (store.register(URL, EVENTS, None, name)[0].id for name in ("kept", "gone"))
    store.change(kept, {"description": "another"})
    store.rotate(kept)
    dispatching = Dispatching(guarded.url("api"))
    try:
        jobs.cancel(jobs.create(SPEC).id)
        jobs.create(SPEC)
        assert dispatching.fan_out() == 3
        sent = dispatching.take(lease=LEASE)
        assert len(sent) == 4  # the first of each job, for each endpoint
        first, second = (parcel for parcel in sent if parcel.webhook_id == kept)
        assert dispatching.settle(first, "delivered", status=204)
        assert dispatching.settle(second, "retry", LEASE, error="no answer")
        store.redeliver(kept, first.id)
        store.test(kept)
        store.remove(gone)
        assert len(dispatching.take(lease=LEASE)) == 3
        jobs.create(SPEC)
        assert store.waiting()[0] > 0  # one event, of which there is no delivery yet
    finally:
        dispatching.close()


def migration(api: Redis) -> None:
    """What an upgrade of the records does."""
    prefix = "lrserve:older:"
    api.set(f"{prefix}name", "old")
    steps = "redis.call('SET', P .. 'title', redis.call('GET', P .. 'name'))\nredis.call('DEL', P .. 'name')"
    migrate(api, 2, {1: steps}, prefix)
    assert (api.get(f"{prefix}title"), api.get(f"{prefix}format")) == ("old", "2")


def visible(jobs: JobStore, api: Redis) -> dict[str, Any]:
    """What clients see of it all."""
    found: dict[str, Any] = {}
    for tenant in ("default", "vision"):
        store = jobs.of(tenant)
        listed, _ = store.page(limit=100)
        found[tenant] = [(job, store.epochs(job.id), store.runs(job.id)) for job in listed]
        found[f"{tenant} has"] = (LimitStore(api).of(tenant), AuditLog(api).last(10, tenant))
    hooks = WebhookStore(api)
    found["webhooks"] = [(hook, hooks.page(hook.id, 100, None)) for hook in hooks.all()]
    service_stats = jobs.service_stats()
    found["service_stats"] = (
        service_stats.counters,
        service_stats.jobs,
        service_stats.experiments,
        service_stats.queues,
        service_stats.workers,
    )
    return found | {"keys": KeyStore(api).all()}


@pytest.mark.parametrize("kind", SERVERS)
def test_nothing_is_lost_at_a_restart(kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    server = SERVERS[kind]()
    if server is None:
        pytest.skip(f"no {kind} Redis server: see the Makefile's target redis-server")
    with guarded_redis(server, tmp_path_factory.mktemp("redis")) as guarded:
        api, worker, operator = (guarded.client(user) for user in ("api", "worker", "operator"))
        keys_limits_and_entries(api, operator)
        jobs(JobStore(api), JobStore(worker))
        experiments(JobStore(api), JobStore(worker))
        jobs_that_wait(JobStore(api))
        webhooks(api, guarded, JobStore(api))
        migration(api)
        seen = visible(JobStore(api), api)
        assert never_run(operator) == []
        assert guarded.refused() == []
        before = contents(operator)

        guarded.restart()

        assert_nothing_was_lost(before, operator)
        assert visible(JobStore(api), api) == seen
