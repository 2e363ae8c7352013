"""The example plug-in in a running service: its catalogue, curves and documents, and which workers take its jobs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from lrcore import plugins
from lrserve.supervisor import REDIS_URL, free_port
from tests.conftest import Service, running_service, until
from tests.factories import job_spec
from tests.plugins.installed import EXAMPLE, ROOT, SCHEDULE, install, install_example, python

pytestmark = pytest.mark.slow

JOB = json.loads((EXAMPLE / "job.json").read_text())
NAME, VERSION = "lrserve-example", "1.0.0"
CURVE = {"schedule": {"type": "example:HalfLife", "half_life": 2}, "base_lr": 0.8}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    return {**install_example(tmp_path_factory.mktemp("installed")), "LRSERVE_PLUGINS": NAME}


@pytest.fixture(scope="module")
def served(environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """An API that has the plug-in, and no worker."""
    assert plugins.load() == ()  # of this process
    home = tmp_path_factory.mktemp("plugins") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", environment["PYTHONPATH"])
        with running_service(home, workers=0, plugins=NAME) as service:
            yield service


@contextmanager
def process(service: Service, environment: Mapping[str, str], *command: str) -> Iterator[None]:
    """A process of lrserve, with the service's Redis and home."""
    home = service.stack.settings.home_folder
    own = {**environment, "LRSERVE_REDIS_URL": (home / REDIS_URL).read_text(), "LRSERVE_HOME": str(home)}
    with (home / "processes.log").open("ab") as log:
        started = subprocess.Popen([sys.executable, "-m", *command], cwd=ROOT, env=own, stdout=log, stderr=log)
    try:
        yield
    finally:
        started.send_signal(signal.SIGTERM)
        started.wait(60)


@contextmanager
def worker(service: Service, environment: Mapping[str, str]) -> Iterator[None]:
    """The only worker, once it lives."""
    with process(service, environment, "lrserve.worker"):
        until(lambda: service.http.get("/readyz").json()["workers"] == 1, 120)
        yield
    until(lambda: service.http.get("/readyz").json()["workers"] == 0)


def submitted(service: Service, **changes: Any) -> dict[str, Any]:
    job: dict[str, Any] = service.http.post("/v1/jobs", json=JOB | changes).raise_for_status().json()
    return job


def test_the_catalogue_the_documents_and_the_dashboard_s_forms_have_it(served: Service) -> None:
    http = served.http
    for family, name in (("schedules", "HalfLife"), ("models", "conv"), ("datasets", "stripes")):
        listed = {each["type"] for each in http.get(f"/v1/{family}").json()[family]}
        entry = http.get(f"/v1/{family}/example:{name}").raise_for_status().json()
        assert f"example:{name}" in listed
        assert entry["example"]["type"] == f"example:{name}"
        assert entry["parameters"]["properties"]["type"]["const"] == f"example:{name}"
    document = http.get("/openapi.json").json()
    assert {"HalfLife", "Conv", "Stripes"} <= document["components"]["schemas"].keys()
    kinds = json.dumps(http.get("/v1/kinds").json())
    assert all(f'"catalogue": "/v1/{family}"' in kinds for family in ("schedules", "models", "datasets", "optimizers"))


def test_its_curve_comes_by_every_way(served: Service) -> None:
    expected = [0.8 * 2 ** (-t / 2) for t in range(6)]
    http = served.http
    posted = http.post("/v1/curves", json=CURVE | {"steps": 6}).raise_for_status().json()
    fetched = http.get("/v1/curves/example:HalfLife?half_life=2&base_lr=0.8&steps=6").raise_for_status().json()
    np.testing.assert_allclose(posted["lr"], expected, rtol=1e-15)
    assert fetched["lr"] == posted["lr"]
    inside = {"type": "SequentialLR", "milestones": [2], "schedulers": [{"type": "Constant"}, CURVE["schedule"]]}
    joined = http.post("/v1/curves", json={"schedule": inside, "base_lr": 0.8, "steps": 4}).raise_for_status().json()
    assert joined["lr"] == [0.8, 0.8, *posted["lr"][:2]]
    large = http.post("/v1/curves", json=CURVE | {"steps": 400_000}).raise_for_status().json()  # by a forked process
    assert large["lr"][:6] == posted["lr"]
    assert b"<svg" in http.post("/v1/curves?format=svg", json=CURVE | {"steps": 50}).raise_for_status().content
    code = http.post("/v1/schedules/translate", json=CURVE | {"to": "torch"}).raise_for_status().json()
    assert code["exact"]
    fitted = http.post("/v1/schedules/fit", json={"lr": posted["lr"]}).raise_for_status()
    assert "example:" not in fitted.text


def test_the_command_draws_it(served: Service, environment: Mapping[str, str]) -> None:
    command = ["curve", "example:HalfLife", "half_life=2", "--base-lr", "0.8", "--steps", "3", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "lrserve", *command, "--url", served.url],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    np.testing.assert_allclose(json.loads(done.stdout)["lr"], [0.8, 0.8 / 2**0.5, 0.4], rtol=1e-15)


@pytest.mark.parametrize(
    ("schedule", "field", "message"),
    [
        ({"half_life": 0}, ["body", "schedule", "half_life"], "greater than or equal to 1"),
        ({"half_life": 2, "more": 1}, ["body", "schedule", "more"], "Extra inputs are not permitted"),
    ],
)
def test_a_wrong_parameter_is_refused_by_its_name(
    schedule: dict[str, Any], field: list[str], message: str, served: Service
) -> None:
    body = {"schedule": {"type": "example:HalfLife"} | schedule, "base_lr": 1, "steps": 2}
    answer = served.http.post("/v1/curves", json=body)

    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert error["loc"] == field
    assert message in error["msg"]


def test_the_pages_made_from_the_code_have_it(environment: Mapping[str, str]) -> None:
    printed = python(
        """
        from docs.hooks import schedule_pages
        from lrcore.jobs.__main__ import reference as training
        from lrcore.schedules import SCHEDULES
        from lrcore.schedules.__main__ import reference
        page = schedule_pages.page(SCHEDULES["example:HalfLife"])
        print("## example:HalfLife" in reference(), "### example:conv" in training(), "# example:HalfLife" in page)
        """,
        environment,
    )
    assert printed.split() == ["True"] * 3


@pytest.mark.slowest
def test_only_a_worker_with_the_same_version_takes_its_jobs(
    served: Service, environment: Mapping[str, str], tmp_path: Path
) -> None:
    job = submitted(served)
    assert job["plugins"] == {NAME: VERSION}
    assert job["hardware"] is None

    def waits_while_others_run(other: Mapping[str, str]) -> None:
        with worker(served, other):
            assert served.train(job_spec()).state == "succeeded"
            now = served.http.get(f"/v1/jobs/{job['id']}").json()
            assert (now["state"], now["attempt"], now["starts_in_seconds"]) == ("queued", 0, None)
            plan = served.http.post("/v1/jobs?dry_run=true", json=JOB).raise_for_status().json()
            [doubt] = [each for each in plan["warnings"] if each["code"] == "no_worker"]
            assert f"no worker with plug-in {NAME}=={VERSION} lives now" in doubt["message"]
            ready = served.http.get("/readyz").json()
            assert ready["queues"][f"default,{NAME}=={VERSION}"] == {"waiting": 1, "workers": 0}

    waits_while_others_run({**environment, "LRSERVE_PLUGINS": ""})
    waits_while_others_run({**install_example(tmp_path, "1.0.1"), "LRSERVE_PLUGINS": NAME})

    with worker(served, environment):
        plan = served.http.post("/v1/jobs?dry_run=true", json=JOB).raise_for_status().json()
        assert [each for each in plan["warnings"] if each["code"] == "no_worker"] == []
        done = served.ended(job["id"])
        assert (done.state, done.attempt, done.plugins) == ("succeeded", 1, {NAME: VERSION})
        assert done.best is not None
        assert done.best.test_accuracy > 0.9
        epochs = served.http.get(f"/v1/jobs/{job['id']}/metrics").json()["epochs"]
        asked = {"schedule": JOB["schedule"], "base_lr": JOB["optimizer"]["lr"], "steps": JOB["epochs"]}
        curve = served.http.post("/v1/curves", json=asked).raise_for_status().json()
        assert [epoch["lr"][0] for epoch in epochs] == curve["lr"]

        command = ["submit", str(EXAMPLE / "job.json"), "--watch", "--url", served.url]
        subprocess.run([sys.executable, "-m", "lrserve", *command], env=environment, check=True, capture_output=True)
        again = served.http.post(f"/v1/jobs/{job['id']}/retry").raise_for_status().json()
        assert again["plugins"] == {NAME: VERSION}
        plain = {"type": "Constant"}
        base = JOB | {"dataset": {"type": "example:stripes", "samples": 64}, "epochs": 1, "schedule": None}
        grid = {"base": base, "grid": {"schedule": [plain, CURVE["schedule"]]}}
        experiment = served.http.post("/v1/experiments", json=grid).raise_for_status().json()
        unscheduled = {name: value for name, value in base.items() if name not in ("epochs", "schedule")}
        test = served.http.post("/v1/lr-range-tests", json=unscheduled | {"num_iter": 20}).raise_for_status().json()
        for each in (again, experiment, test):
            assert served.ended(each["id"]).state == "succeeded"


def test_a_job_outlives_the_plug_in_of_the_api(served: Service, environment: Mapping[str, str]) -> None:
    job, port = submitted(served, labels=["left"]), free_port()
    without = {**environment, "LRSERVE_PLUGINS": ""}
    with (
        process(served, without, "lrserve.api", "--port", str(port)),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http,
    ):
        until(lambda: _answers(http))
        assert http.get(f"/v1/jobs/{job['id']}").json()["plugins"] == {NAME: VERSION}
        assert job["id"] in {each["id"] for each in http.get("/v1/jobs?label=left").json()["jobs"]}
        assert http.post(f"/v1/jobs/{job['id']}/cancel").json()["state"] == "cancelled"
        refused = http.post(f"/v1/jobs/{job['id']}/retry")
        assert refused.status_code == 422, refused.text
        assert f"needs {NAME}=={VERSION}, which is not loaded here" in refused.text
        cloned = http.post(f"/v1/jobs/{job['id']}/clone", json={})
        assert cloned.status_code == 422
        assert "unknown type 'example:conv'" in cloned.text


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/healthz").is_success
    except httpx.TransportError:
        return False


def test_jobs_with_several_plugins_go_to_workers_that_have_all(any_redis: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        code = SCHEDULE.format(vendor=name, name="Flat")
        entries = {"lrserve.schedules": {name: f"plugin_{name}"}}
        environment = install(tmp_path, f"acme-{name}", "1.0+x", entries, **{f"plugin_{name}": code})

    printed = python(
        f"""
        from lrcore.store.connection import connect
        from lrcore.jobs.job import JobOptions
        from lrcore.store.queue import queues_of
        from lrcore.store.service_stats import WorkerStats
        from tests.stores import JobStore
        from lrcore.jobs.training_spec import TrainingSpec

        redis = connect({any_redis!r})
        redis.flushall()
        store = JobStore(redis)
        parts = [{{"type": "a:Flat"}}, {{"type": "b:Flat"}}]
        both = {{"type": "SequentialLR", "milestones": [1], "schedulers": parts}}
        base = {{"model": {{"type": "lenet"}}, "dataset": {{"type": "fake"}}, "epochs": 2}}

        def job(schedule, hardware=None):
            spec = TrainingSpec.model_validate(base | {{"schedule": schedule}})
            return store.create(spec, JobOptions(hardware=hardware))

        def claimed(*plugins, label="cpu"):
            claim = store.claim(queues_of([label], plugins), "w", 60, 1, plugins)
            return claim and names[claim.id]

        jobs = {{"ab": job(both), "a": job(parts[0]), "b": job(parts[1]), "gpu": job(both, "gpu")}}
        names = {{each.id: name for name, each in jobs.items()}}
        A, B = "acme-a==1.0+x", "acme-b==1.0+x"
        print([claimed(), claimed("acme-a==1.0"), claimed("acme-a==2", B), claimed(B)])
        print([claimed("other==1", A), claimed()])
        store.present("w", queues_of(["cpu"], [A]), 60, WorkerStats(version="0", plugins=(A,)))
        queues = {{each.name: each for each in store.queues()}}
        print(queues[f"default,{{A}},{{B}}"].workers, queues[f"default,{{A}}"].workers)
        store.present("w", queues_of(["cpu"], [A, B]), 60, WorkerStats(version="0", plugins=(B, A)))
        queues = {{each.name: each for each in store.queues()}}
        print(queues[f"default,{{A}},{{B}}"].workers, queues[f"gpu,{{A}},{{B}}"].workers)
        print([claimed(A, B), claimed(B, A), claimed(A, B, "c==1", label="gpu"), claimed(A, B, label="gpu")])
        print(store.get(jobs["gpu"].id).plugins, store.get(jobs["gpu"].id).hardware)
        """,
        {**environment, "LRSERVE_PLUGINS": "acme-b, acme-a"},
    )

    assert printed.splitlines() == [
        "[None, None, 'b', None]",
        "['a', None]",
        "0 1",
        "1 0",
        "['ab', None, 'gpu', None]",
        "{'acme-a': '1.0+x', 'acme-b': '1.0+x'} gpu",
    ]


@pytest.mark.examples
def test_the_example_is_installed_by_pip(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    own = tmp_path / "venv" / "bin" / "python"
    pip = [str(own), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, str(ROOT)], check=True, timeout=280)
    subprocess.run([*pip, str(EXAMPLE)], check=True, timeout=280)
    code = "from lrserve import curve; print(curve({'type': 'example:HalfLife', 'half_life': 1}, 3, 1.0).tolist())"

    def printed(names: str) -> subprocess.CompletedProcess[str]:
        environment = {"LRSERVE_PLUGINS": names, "PATH": ""}
        return subprocess.run(
            [own, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
        )

    assert printed(NAME).stdout == "[1.0, 0.5, 0.25]\n"
    assert "'example:HalfLife'" in printed("").stderr
