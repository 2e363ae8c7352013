"""The memory that a run takes, estimated beforehand and measured, and what the machine has of it."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lrcore.jobs.experiment import ExperimentSpec
from lrcore.jobs.training_spec import TrainingSpec
from lrcore.models import MODELS
from lrcore.models.torchvision import TYPES
from lrcore.optimizers import OPTIMIZERS
from lrserve.worker.engine import Hooks, OutOfMemory, Result, footprint, memory, train
from lrserve.worker.engine.footprint import MEASURED_SECONDS, Footprint, check_fits
from lrserve.worker.engine.memory import free_memory, left_in_cgroups
from lrserve.worker.engine.range_test import range_test
from lrserve.worker.engine.training import train_many
from tests.factories import job_spec, range_test_spec

CPU = torch.device("cpu")
NOWHERE = Path("nowhere")
PICTURES = {"type": "fake", "samples": 32, "test_samples": 16, "image_size": 32, "channels": 3}
OWN = [name for name in MODELS if not name.startswith("torchvision")]
MLP = {"type": "mlp", "hidden": [512]}
CASES: dict[str, dict[str, Any]] = (
    {name: {"model": {"type": name}} for name in OWN}
    | {f"mlp {name}": {"model": MLP, "optimizer": {"type": name}} for name in OPTIMIZERS}
    | {
        "momentum": {"model": MLP, "optimizer": {"type": "SGD", "momentum": 0.9}},
        "average": {"model": MLP, "ema_decay": 0.9},
        "one epoch": {"model": {"type": "resnet"}, "epochs": 1},
        "one step": {"model": MLP, "epochs": 1, "batch_size": 32, "optimizer": {"type": "Adam"}},
        "pieces": {"model": MLP, "micro_batch_size": 4},
        "float64": {"model": {"type": "lenet"}, "precision": "float64"},
        "bfloat16": {"model": {"type": "vit"}, "precision": "bfloat16"},
        "dropout": {"model": {"type": "vit", "dropout": 0.1}},
        "frozen": {"model": {"type": "resnet", "freeze": ["layer*", "conv1*"]}},
        "evaluation": {"model": {"type": "lenet"}, "dataset": PICTURES | {"test_samples": 1000}, "batch_size": 2},
    }
)
LARGE = [f"torchvision:{name}" for name in ("densenet201", "regnet_y_128gf", "vit_h_14")]
# a device keeps more of a recurrent layer than its gates' values, and a CPU convolves float64 by copies of the images
LOOSE = {"gru": 5, "lstm": 5, "float64": 5}


def spec_of(**changes: Any) -> TrainingSpec:
    return TrainingSpec.model_validate(
        job_spec(dataset=PICTURES, epochs=2, batch_size=16, model={"type": "lenet"}) | changes
    )


def peak(call: Callable[[], object]) -> int:
    """Most bytes of tensors that are there at once during the call, beside those before it."""
    gc.collect()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        call()
    held = most = 0
    assert profile.profiler is not None
    for event in profile.profiler.kineto_results.events():  # type: ignore[union-attr]
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most


def estimated(spec: TrainingSpec, tested: int) -> Footprint:
    """The estimate, or why there is none."""
    return footprint._footprint(spec, tested)


@pytest.mark.sampled(9)
@pytest.mark.parametrize("case", CASES)
def test_an_estimate_is_at_most_what_a_run_takes_and_not_much_less(case: str) -> None:
    spec = spec_of(**CASES[case])
    total = estimated(spec, min(spec.eval_batch_size, spec.dataset.test_samples)).total  # type: ignore[attr-defined]

    taken = peak(lambda: train(spec, data_root=NOWHERE, device=CPU))

    assert total <= taken <= LOOSE.get(case, 2) * total + 2**20


@pytest.mark.slow
@pytest.mark.sampled(3)
@pytest.mark.parametrize("type_", [*OWN, *LARGE])
def test_a_model_is_measured_without_memory(type_: str) -> None:
    spec, needed = picture_job(type_), list[Footprint]()

    taken = peak(lambda: needed.append(estimated(spec, 16)))

    assert taken < 2**21 + 0.02 * needed[0].parameters


@pytest.mark.sampled(5)
@pytest.mark.slow
@pytest.mark.parametrize("type_", TYPES)
def test_every_model_of_torchvision_is_measured_in_no_time(type_: str) -> None:
    gc.freeze()  # what all the tests before have left is not looked through again and again
    began = time.thread_time()
    needed = estimated(picture_job(type_), 16)

    assert time.thread_time() - began < 2 * MEASURED_SECONDS
    assert min(needed.parameters, needed.gradients, needed.activations, needed.evaluation) > 0


def picture_job(type_: str) -> TrainingSpec:
    """A job on images of the size that the model needs."""
    side = {"inception_v3": 75, "maxvit_t": 224, "vit_h_14": 70}.get(type_.partition(":")[2], 64)
    resize = {} if side == 64 else {"resize": side}
    return spec_of(model={"type": type_}, dataset=PICTURES | {"image_size": 64} | resize)


def test_what_does_not_fit_is_refused_before_it_takes_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of(model={"type": "mlp", "hidden": [8192] * 16}, optimizer={"type": "SGD", "momentum": 0.9})
    monkeypatch.setattr(footprint, "free_memory", lambda device: 12 * 2**30)
    refused: list[OutOfMemory] = []

    def attempt() -> None:
        with pytest.raises(OutOfMemory) as error:
            train(spec, data_root=NOWHERE, device=CPU)
        refused.append(error.value)

    assert peak(attempt) < 2**22
    assert str(refused[0]).startswith("the job needs at least 15.4 GiB of memory, and the machine has 12.0 GiB free: ")
    for part in ("parameters 3.8 GiB", "gradients 3.8 GiB", "optimizer state 3.8 GiB", "best weights 3.8 GiB"):
        assert part in str(refused[0])


def test_what_fits_exactly_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of()
    needed = estimated(spec, 16).total
    monkeypatch.setattr(footprint, "free_memory", lambda device: needed)
    check_fits(spec, 16, CPU)

    monkeypatch.setattr(footprint, "free_memory", lambda device: needed - 1)
    with pytest.raises(OutOfMemory):
        check_fits(spec, 16, CPU)


def test_runs_of_an_experiment_that_do_not_fit_fail_and_the_others_train(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footprint, "free_memory", lambda device: 2**27)
    ended: list[object] = []
    specs = [spec_of(), spec_of(model={"type": "mlp", "hidden": [8192, 8192]})]

    outcomes = train_many(specs, data_root=NOWHERE, device=CPU, hooks=[Hooks(ended=ended.append)] * 2)

    assert [type(outcome) for outcome in outcomes] == [type(outcome) for outcome in ended] == [Result, OutOfMemory]


def test_a_range_test_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footprint, "free_memory", lambda device: 2**10)
    with pytest.raises(OutOfMemory):
        range_test(range_test_spec(), data_root=NOWHERE, device=CPU)


V1 = {"memory.limit_in_bytes": "1000", "memory.usage_in_bytes": "900"}
V2 = {"memory.max": "1000", "memory.current": "900"}


def write(folder: Path, files: dict[str, str], stat: str) -> None:
    folder.mkdir(parents=True)
    for name, text in (files | {"memory.stat": stat}).items():
        (folder / name).write_text(text)


def test_the_tightest_control_group_counts_and_cached_files_are_free(tmp_path: Path) -> None:
    own, mounted = tmp_path / "own", tmp_path / "cgroup"
    assert left_in_cgroups(own, mounted) == float("inf")  # no Linux
    own.write_text("0::/pod/container\n")
    write(mounted / "pod", V2, "active_file 50\ninactive_file 30\nslab_reclaimable 5\n")
    write(mounted / "pod" / "container", V2 | {"memory.max": "max"}, "")
    assert left_in_cgroups(own, mounted) == 100 + 85

    own.write_text("5:cpu:/\n4:memory,hugetlb:/docker/a\n1:name=systemd:/\n0::/\n")
    write(mounted / "memory", V1, "active_file 7\ntotal_active_file 50\ntotal_inactive_file 10\n")
    assert left_in_cgroups(own, mounted) == 100 + 60  # the machine's path, not found inside of a container
    (mounted / "memory" / "memory.usage_in_bytes").write_text("2000")
    assert left_in_cgroups(own, mounted) == 0


def test_free_memory_is_that_of_the_machine_or_of_the_control_group(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 < free_memory(CPU) < 2**50
    monkeypatch.setattr(memory, "left_in_cgroups", lambda: 12345)
    assert free_memory(CPU) == 12345


def test_runs_alike_share_one_measurement() -> None:
    grid = {"lr": [0.01 * i for i in range(1, 100)]}
    spec = ExperimentSpec.model_validate({"base": job_spec(model={"type": "resnet", "depth": 110}), "grid": grid})
    estimated(spec.run(0), 16)
    before = footprint._measured.cache_info().misses
    for run in range(1, 5):
        estimated(spec.run(run), 16)
    assert footprint._measured.cache_info().misses == before
