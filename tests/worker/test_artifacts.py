from __future__ import annotations

import csv
import io
import json
import logging
import os
import sys
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from mlflow import MlflowClient
from safetensors.torch import save_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from lrcore.errors import MissingPackage
from lrcore.jobs.job import Best, Epoch
from lrcore.jobs.training_spec import TrainingSpec
from lrcore.service import logs
from lrcore.service.artifacts import ArtifactNotFound, Artifacts, ArtifactsUnavailable
from lrcore.service.settings import Settings
from lrcore.store.errors import LeaseLost
from lrcore.store.queue import QUEUE
from lrcore.store.records import Claim
from lrserve.supervisor import free_port
from lrserve.worker import artifacts, executors
from lrserve.worker.engine import Interrupted, Result
from lrserve.worker.executors import FinishedJob
from lrserve.worker.reporter import Reporter
from lrserve.worker.runner import Runner
from lrserve.worker.tracking import track
from tests.conftest import until
from tests.factories import job_spec
from tests.stores import JobStore

JOB = "01jd8x0000000000000000test"
DATA = {"type": "fake", "samples": 64, "test_samples": 16, "image_size": 12}
HELD_OUT = DATA | {"validation_split": 0.25}


def spec_of(**changes: Any) -> TrainingSpec:
    return TrainingSpec.model_validate(job_spec(dataset=DATA, epochs=3) | changes)


def epochs_of(spec: TrainingSpec) -> list[Epoch]:
    """Figures that differ from each other, in every field."""
    validated = spec.dataset.validation_split is not None
    return [
        Epoch(
            epoch=i,
            lr=[0.1 / (i + 1), 0.01],
            train_loss=2.0 - i / 10,
            train_accuracy=0.1 + i / 10,
            val_loss=2.1 - i / 10 if validated else None,
            val_accuracy=0.11 + i / 10 if validated else None,
            test_loss=2.2 - i / 10,
            test_accuracy=0.12 + i / 10,
            seconds=10.0,
        )
        for i in range(spec.epochs)
    ]


def best_of(epochs: list[Epoch]) -> Best:
    last = epochs[-1]
    return Best(epoch=last.epoch, val_accuracy=last.val_accuracy, test_accuracy=last.test_accuracy)


def trained(folder: Path, spec: TrainingSpec) -> tuple[nn.Module, list[Epoch], Best]:
    """What the engine leaves: the best weights, others as the last ones, and a checkpoint. The model has the best."""
    model = spec.model.build(spec.dataset.image_shape, spec.dataset.num_classes)
    if spec.precision == "float64":
        model.double()
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / "best.safetensors")
    save_file({name: tensor + 1 for name, tensor in weights.items()}, folder / "last.safetensors")
    (folder / "checkpoint.safetensors").write_bytes(b"not for others")
    epochs = epochs_of(spec)
    return model, epochs, best_of(epochs)


def written(folder: Path, spec: TrainingSpec) -> tuple[nn.Module, list[Epoch], Best]:
    model, epochs, best = trained(folder, spec)
    artifacts.write(folder, spec, epochs, best)
    return model, epochs, best


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_spec_that_is_kept_is_the_job_again(tmp_path: Path) -> None:
    spec = spec_of(schedule={"type": "StepLR", "step_size": 1, "gamma": 0.5})

    written(tmp_path, spec)

    assert TrainingSpec.model_validate_json((tmp_path / "spec.json").read_text()) == spec


@pytest.mark.parametrize("dataset", [DATA, HELD_OUT], ids=["no validation", "validation"])
def test_metrics_are_kept_as_json_and_as_a_table(dataset: dict[str, Any], tmp_path: Path) -> None:
    _, epochs, best = written(tmp_path, spec_of(dataset=dataset))

    kept = json.loads((tmp_path / "metrics.json").read_text())
    rows = list(csv.DictReader(io.StringIO((tmp_path / "metrics.csv").read_text())))

    assert [Epoch.model_validate(row) for row in kept["epochs"]] == epochs
    assert Best.model_validate(kept["best"]) == best
    assert [row["lr"].split() for row in rows] == [[repr(lr) for lr in epoch.lr] for epoch in epochs]
    for row, epoch in zip(rows, epochs, strict=True):
        assert {k: float(v) for k, v in row.items() if k != "lr"} == epoch.model_dump(exclude={"lr"})
    assert ("val_loss" in rows[0]) == ("validation_split" in dataset)


def test_the_figure_is_kept_as_both_kinds_of_picture(tmp_path: Path) -> None:
    written(tmp_path, spec_of(dataset=HELD_OUT))

    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert ET.fromstring((tmp_path / "plot.svg").read_text()).tag.endswith("svg")


def test_tensorboard_reads_every_figure_of_every_epoch(tmp_path: Path) -> None:
    _, epochs, _ = written(tmp_path, spec_of(dataset=HELD_OUT))

    events = EventAccumulator(str(tmp_path)).Reload()

    losses, accuracies = (
        {f"{quantity}/{split}": f"{split}_{quantity}" for split in ("train", "val", "test")}
        for quantity in ("loss", "accuracy")
    )
    assert set(events.Tags()["scalars"]) == {*losses, *accuracies, "lr/group0", "lr/group1"}
    for tag, field in (losses | accuracies).items():
        logged = [(event.step, event.value) for event in events.Scalars(tag)]
        assert logged == [(epoch.epoch, pytest.approx(getattr(epoch, field), rel=1e-6)) for epoch in epochs]
    times = [event.wall_time for event in events.Scalars("lr/group0")]
    assert np.diff(times) == pytest.approx([10.0, 10.0], abs=1e-3)


@pytest.mark.sampled(2)
@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_best_model_runs_elsewhere_on_any_number_of_images(precision: str, tmp_path: Path) -> None:
    spec = spec_of(export=["onnx"], precision=precision)
    model, _, _ = written(tmp_path, spec)

    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")

    for count in (1, 5):
        images = torch.randn(count, *spec.dataset.image_shape)
        (logits,) = session.run(["logits"], {"images": images.numpy()})
        assert logits == pytest.approx(model.eval().float()(images).detach().numpy(), abs=1e-5)


def test_a_model_is_exported_only_if_asked_for(tmp_path: Path) -> None:
    written(tmp_path, spec_of())

    assert not (tmp_path / "model.onnx").exists()


def test_an_export_without_its_packages_is_refused_before_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    artifacts.check(spec_of(export=["onnx"]))
    monkeypatch.setitem(sys.modules, "onnxscript", None)  # as if it were not installed

    artifacts.check(spec_of())
    with pytest.raises(MissingPackage, match=r"onnxscript.*pip install 'lrserve\[onnx\]'"):
        artifacts.check(spec_of(export=["onnx"]))


def test_what_is_published_is_what_was_written_and_no_checkpoint(tmp_path: Path) -> None:
    folder, root = tmp_path / "job", tmp_path / "root"
    written(folder, spec_of())

    artifacts.publish(folder, f"file://{root}", JOB)

    assert names(root / JOB) == names(folder) - {"checkpoint.safetensors"}
    for path in (root / JOB).iterdir():
        assert path.read_bytes() == (folder / path.name).read_bytes()


@pytest.mark.slowest
def test_a_job_that_is_run_twice_leaves_the_same_files(tmp_path: Path) -> None:
    folder, root = tmp_path / "job", tmp_path / "root"
    spec = spec_of(export=["onnx"])
    _, epochs, best = written(folder, spec)
    artifacts.publish(folder, f"file://{root}", JOB)
    first = {path.name: path.read_bytes() for path in (root / JOB).iterdir()}
    (root / JOB / ".0123456789abcdef.part").write_bytes(b"left by a worker that was killed")

    artifacts.write(folder, spec, epochs, best)
    artifacts.publish(folder, f"file://{root}", JOB)

    second = {path.name: path.read_bytes() for path in (root / JOB).iterdir()}
    assert set(second) == set(first)
    for name in set(first) - {artifacts.EVENTS}:  # which hold the time
        assert second[name] == first[name], name


def test_a_reader_never_sees_half_of_a_file(tmp_path: Path) -> None:
    files, file = Artifacts(f"file://{tmp_path / 'root'}"), tmp_path / "metrics.csv"
    contents = [bytes([i]) * 3_000_000 for i in range(2)]
    file.write_bytes(contents[0])
    files.put(JOB, file)
    stop = threading.Event()

    def write() -> None:
        i = 0
        while not stop.is_set():
            i += 1
            file.write_bytes(contents[i % 2])
            files.put(JOB, file)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(100):
            opened = files.open(JOB, "metrics.csv")
            content = b"".join(opened.chunks())
            assert len(content) == opened.size
            assert content in contents
            assert [artifact.name for artifact in files.of(JOB)] == ["metrics.csv"]
    finally:
        stop.set()
        writer.join()


def test_a_storage_without_a_rename_is_written_directly(tmp_path: Path) -> None:
    root = f"memory://{tmp_path.name}"
    folder = tmp_path / "job"
    written(folder, spec_of())

    artifacts.publish(folder, root, JOB)
    artifacts.publish(folder, root, JOB)

    found = Artifacts(root).of(JOB)
    assert {artifact.name: artifact.size for artifact in found} == {
        file.name: file.stat().st_size for file in artifacts.files(folder)
    }
    assert b"".join(Artifacts(root).open(JOB, "spec.json").chunks()) == (folder / "spec.json").read_bytes()


@pytest.mark.parametrize(
    "name", ["..", ".hidden", "../../spec.json", "/etc/passwd", "", "a/b", "nothing.json", "folder"]
)
def test_only_a_job_s_own_files_are_opened(name: str, tmp_path: Path) -> None:
    (tmp_path / JOB / "folder").mkdir(parents=True)
    (tmp_path / JOB / ".hidden").touch()
    (tmp_path / "spec.json").touch()

    with pytest.raises(ArtifactNotFound):
        Artifacts(f"file://{tmp_path}").open(JOB, name)
    assert Artifacts(f"file://{tmp_path}").of(JOB) == []


def test_a_root_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("a file where the folder should be")
    files = Artifacts(f"file://{tmp_path / 'root'}")

    for use in (
        lambda: files.of(JOB),
        lambda: files.open(JOB, "spec.json"),
        lambda: files.put(JOB, tmp_path / "root"),
        lambda: Artifacts("no-such-storage://root").of(JOB),
    ):
        with pytest.raises(ArtifactsUnavailable):
            use()


@pytest.fixture
def taken(store: JobStore, tmp_path: Path) -> Iterator[tuple[Runner, Claim, Reporter, FinishedJob]]:
    """A job that a worker has just trained."""
    settings = Settings(home=tmp_path / "home", heartbeat_seconds=0.05)
    runner, spec = Runner(store, store, settings, "worker"), spec_of()
    job = store.create(spec)
    model, epochs, best = trained(runner.folder(job.id), spec)
    claim = store.claim([QUEUE], "worker", settings.lease_seconds)
    assert claim is not None
    reporter = Reporter(store, claim, settings, threading.Event())
    reporter.start()
    yield runner, claim, reporter, executors.trained(spec, job.id, Result(epochs, best, model, model.state_dict()))
    reporter.stop()


def test_a_worker_keeps_the_files_of_its_job(taken: tuple[Runner, Claim, Reporter, FinishedJob]) -> None:
    runner, claim, reporter, outcome = taken

    runner._keep(claim, reporter, outcome)

    assert "best.safetensors" in names(runner.settings.home_folder / "artifacts" / claim.id)


def test_a_worker_that_lost_its_job_meanwhile_writes_over_nothing(
    taken: tuple[Runner, Claim, Reporter, FinishedJob], store: JobStore
) -> None:
    runner, claim, reporter, outcome = taken
    store.abandon("worker", max_losses=3)  # what a successor under its name does
    until(reporter.must_stop)

    with pytest.raises(LeaseLost):
        runner._keep(claim, reporter, outcome)
    assert not (runner.settings.home_folder / "artifacts").exists()


def test_a_worker_that_is_to_end_does_not_wait_for_the_artifact_root(
    taken: tuple[Runner, Claim, Reporter, FinishedJob],
) -> None:
    runner, claim, reporter, outcome = taken
    (runner.settings.home_folder / "artifacts").write_text("a file where the folder should be")
    runner.drain()

    with pytest.raises(Interrupted):
        runner._keep(claim, reporter, outcome)


@pytest.fixture
def mlflow_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """A client of MLflow's own store in files, which the worker's environment names too."""
    uri = f"file://{tmp_path / 'mlflow'}"
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    for name in ("MLFLOW_DISABLE_TELEMETRY", "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"):
        monkeypatch.setenv(name, os.environ.get(name, "1"))
    return MlflowClient(uri)


def runs(client: MlflowClient, experiment: str = "lrserve") -> list[Any]:
    found = client.get_experiment_by_name(experiment)
    return [] if found is None else list(client.search_runs([found.experiment_id]))


def test_a_job_is_a_run_in_mlflow(mlflow_store: MlflowClient, tmp_path: Path) -> None:
    folder = tmp_path / "job"
    spec = spec_of(dataset=HELD_OUT, schedule={"type": "MultiStepLR", "milestones": [1, 2]})
    _, epochs, best = written(folder, spec)

    track(folder, spec, epochs, best, JOB)

    (run,) = runs(mlflow_store)
    assert (run.info.status, run.info.run_name, run.data.tags["lrserve.job_id"]) == ("FINISHED", JOB, JOB)
    assert (
        run.data.params.items()
        >= {
            "model.type": "lenet",
            "optimizer.lr": "0.1",
            "schedule.milestones": "[1, 2]",
            "early_stopping": "null",
        }.items()
    )
    history = mlflow_store.get_metric_history(run.info.run_id, "accuracy/val")
    assert [(metric.step, metric.value) for metric in history] == [(e.epoch, e.val_accuracy) for e in epochs]
    assert run.data.metrics["best/test_accuracy"] == best.test_accuracy
    assert {file.path for file in mlflow_store.list_artifacts(run.info.run_id)} == names(folder) - {
        "checkpoint.safetensors"
    }


def test_a_job_that_is_run_twice_is_one_run_in_mlflow(
    mlflow_store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "others")
    folder, spec = tmp_path / "job", spec_of()
    _, epochs, best = written(folder, spec)
    experiment = mlflow_store.create_experiment("others")
    mlflow_store.create_run(experiment, tags={"lrserve.job_id": JOB})  # by a worker that was killed
    mlflow_store.create_run(experiment, tags={"lrserve.job_id": "another job"})

    for _ in range(2):
        track(folder, spec, epochs, best, JOB)

    own = [run for run in runs(mlflow_store, "others") if run.data.tags["lrserve.job_id"] == JOB]
    assert [run.info.status for run in own] == ["FINISHED"]
    assert len(runs(mlflow_store, "others")) == 2


def test_an_mlflow_that_is_away_is_no_fault_of_the_job(
    mlflow_store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    spec = spec_of()
    _, epochs, best = written(tmp_path / "job", spec)

    monkeypatch.setattr(caplog.handler, "formatter", logs.Text())
    with caplog.at_level(logging.WARNING, "lrserve.worker"), logs.bound(job=JOB):  # as the runner binds it
        track(tmp_path / "job", spec, epochs, best, JOB)

    assert f"job={JOB} was not logged to MLflow" in caplog.text


def test_nothing_is_tracked_unless_a_server_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    spec = spec_of()
    epochs = epochs_of(spec)

    track(tmp_path, spec, epochs, best_of(epochs), JOB)

    assert names(tmp_path) == set()
