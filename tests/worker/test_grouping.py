"""Runs that train together against the same runs alone, on the CPU."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lrcore.errors import SpecError
from lrcore.jobs.job import Epoch
from lrcore.jobs.training_spec import TrainingSpec
from lrcore.schedules import SCHEDULES
from lrcore.schedules._base import Schedule
from lrserve.worker.engine import Diverged, Hooks, Interrupted, Result, grouping, train
from lrserve.worker.engine.data import load
from lrserve.worker.engine.grouping import incompatibility, is_faster, max_group_size
from lrserve.worker.engine.hooks import Outcome
from lrserve.worker.engine.models.base import ModelSetup, built
from lrserve.worker.engine.models.stacked import StackedModels
from lrserve.worker.engine.optim import Scheduled
from lrserve.worker.engine.training import train_in_turn, train_many, train_together
from tests.factories import training_spec

NOWHERE = Path("/nonexistent")
CPU = torch.device("cpu")
STACKED, THREADS = float("inf"), 0.0  # multiplications in a step below which runs become one stacked network


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Any:
    """The tests run beside each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=[STACKED, THREADS], ids=["stacked", "threads"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one stacked network, and as a thread for each run."""
    monkeypatch.setattr(grouping, "SMALL", request.param)


@pytest.fixture
def stacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouping, "SMALL", STACKED)


def spec(**changes: Any) -> TrainingSpec:
    """Five steps an epoch; the last batch is short."""
    data = {"type": "fake", "samples": 76, "test_samples": 20, "image_size": 12, "noise": 0.3}
    given = {"dataset": data, "precision": "float64", "epochs": 4, "interval": "step", "batch_size": 16}
    return training_spec(**given | changes)


def three(**changes: Any) -> list[TrainingSpec]:
    """Runs with different rates, decays, momenta, schedules and seeds."""
    optimizer = changes.pop("optimizer", {"type": "SGD", "momentum": 0.9})
    numbers = [{"lr": 0.05, "weight_decay": 0.0}, {"lr": 0.02, "weight_decay": 1e-2}, {"lr": 0.01}]
    schedules = [None, {"type": "StepLR", "step_size": 3, "gamma": 0.8}, {"type": "CosineAnnealingLR", "T_max": 20}]
    return [
        spec(**{"schedule": schedule, "optimizer": own | optimizer, "seed": seed} | changes)
        for seed, (own, schedule) in enumerate(zip(numbers, schedules, strict=True))
    ]


def alone(job: TrainingSpec) -> tuple[list[float], Outcome]:
    """The loss of each step, and what became of the run."""
    losses: list[float] = []
    try:
        return losses, train(job, data_root=NOWHERE, device=CPU, hooks=recording(losses))
    except (Diverged, SpecError) as error:
        return losses, error


def together(specs: Sequence[TrainingSpec]) -> list[tuple[list[float], Outcome]]:
    """The same of runs that train together."""
    losses: list[list[float]] = [[] for _ in specs]
    assert incompatibility(specs) is None
    outcomes = train_together(specs, data_root=NOWHERE, device=CPU, hooks=[recording(found) for found in losses])
    return list(zip(losses, outcomes, strict=True))


def recording(losses: list[float]) -> Hooks:
    return Hooks(losses=lambda epoch, found: losses.extend(found))


def assert_same(specs: Sequence[TrainingSpec], rtol: float = 1e-9, steps: int | None = None) -> list[Outcome]:
    """Every run's losses, reports and weights are those it has alone."""
    found = together(specs)
    for job, (losses, outcome) in zip(specs, found, strict=True):
        expected, reference = alone(job)
        np.testing.assert_allclose(losses[:steps], expected[:steps], rtol=rtol, err_msg=job.rate_schedule.type)
        assert type(outcome) is type(reference)
        if isinstance(outcome, Result) and isinstance(reference, Result) and steps is None:
            np.testing.assert_allclose(numbers(outcome.epochs), numbers(reference.epochs), rtol=rtol)
            assert outcome.best == reference.best
            assert outcome.together == len(specs)
            for ours, theirs in (
                (outcome.model.state_dict(), reference.model.state_dict()),
                (outcome.best_weights, reference.best_weights),
            ):
                assert ours.keys() == theirs.keys()
                for name in ours:
                    torch.testing.assert_close(ours[name], theirs[name], rtol=1e-6, atol=1e-9)
    return [outcome for _, outcome in found]


def numbers(epochs: list[Epoch]) -> NDArray[np.float64]:
    rows = [epoch.model_dump(exclude={"seconds", "momentum"}).values() for epoch in epochs]
    return np.array([np.hstack(list(row)) for row in rows])


def accepted(schedule: type[Schedule]) -> TrainingSpec | None:
    """A hundred steps with the schedule's example, as long as the job if it has an end."""
    example = schedule.example | ({"total_steps": 100} if schedule.__name__ == "OneCycleLR" else {})
    if "RangeTest" in schedule.__name__:  # their rates rise until the run breaks
        example = {"type": schedule.__name__}
    if schedule.metric_driven:
        return None
    optimizer = {"type": "SGD", "lr": 0.05, "momentum": 0.5}
    data = {"type": "fake", "samples": 38, "test_samples": 10, "image_size": 12}
    seed = len(schedule.__name__)
    given: dict[str, Any] = {"model": {"type": "mlp", "hidden": [16]}, "dataset": data, "batch_size": 8, "epochs": 20}
    return spec(schedule=example, optimizer=optimizer, seed=seed, **given)


@pytest.mark.slowest
def test_a_hundred_steps_of_every_schedule_at_once(stacked: None) -> None:
    specs = [job for schedule in SCHEDULES.values() if (job := accepted(schedule))]
    assert len(specs) == len([each for each in SCHEDULES.values() if not each.metric_driven])

    assert_same(specs)


@pytest.mark.slow
@pytest.mark.sampled(2)
def test_metrics_drive_each_run_s_own_plateau(way: None) -> None:
    plateau = {"type": "ReduceLROnPlateau", "patience": 0, "threshold": 0.05, "factor": 0.5}
    greedy = {"type": "greedy", "patience": 0, "factor": 0.5, "smooth": True, "window_size": 2, "warmup": 1}
    schedules = [plateau, plateau | {"mode": "max", "patience": 2}, greedy, {"type": "ExponentialLR", "gamma": 0.9}]
    jobs = [spec(schedule=s, interval="epoch", epochs=8, seed=i) for i, s in enumerate(schedules)]
    outcomes = assert_same(jobs)

    rates = [[epoch.lr[0] for epoch in outcome.epochs] for outcome in outcomes if isinstance(outcome, Result)]
    assert rates[0][-1] < 0.1
    assert rates[0] != rates[1]
    assert min(rates[2]) < 0.1 < max(rates[2])


MODELS: dict[str, dict[str, Any]] = {
    "lenet": {"model": {"type": "lenet"}},
    "mlp": {"model": {"type": "mlp", "hidden": [32, 16]}},
    "softmax regression": {"model": {"type": "mlp", "hidden": []}},
    "resnet": {"model": {"type": "resnet", "depth": 20}, "epochs": 1},
    "resnet9": {"model": {"type": "resnet9", "width": 2}, "epochs": 2},
    "resnet18": {"model": {"type": "resnet18", "width": 2}, "epochs": 1},
}
AUGMENTED = {
    "type": "fake",
    "samples": 76,
    "test_samples": 20,
    "image_size": 12,
    "channels": 2,
    "validation_split": 0.2,
}
AUGMENTED |= {"flip": True, "crop": 2, "cutout": 3, "normalize": True}


@pytest.mark.sampled(6)
@pytest.mark.parametrize("name", MODELS)
def test_each_model_on_augmented_images(name: str, way: None) -> None:
    assert_same(three(dataset=AUGMENTED, **MODELS[name]), rtol=1e-8 if "resnet" in name else 1e-9)


@pytest.mark.slowest
@pytest.mark.parametrize("name", ["lenet", "mlp"])
def test_a_hundred_steps(name: str, way: None) -> None:
    assert_same(three(**MODELS[name] | {"epochs": 20}))


@pytest.mark.parametrize("name", ["lenet", "mlp"])
def test_the_first_steps_in_float32(name: str, stacked: None) -> None:
    assert_same(three(precision="float32", **MODELS[name]), rtol=1e-5, steps=10)


@pytest.mark.slow
def test_the_first_steps_of_a_resnet_in_float32(stacked: None) -> None:
    data = {"type": "fake", "samples": 320, "test_samples": 20, "image_size": 12, "noise": 0.3}
    given: dict[str, Any] = {"dataset": data, "batch_size": 32, "epochs": 1, "model": {"type": "resnet"}}
    # a larger rate lets float32's own rounding grow beyond that in ten steps, also alone against float64
    specs = [spec(precision="float32", optimizer={"type": "SGD", "lr": 1e-4}, seed=i, **given) for i in range(2)]

    assert_same(specs, rtol=1e-5, steps=10)


OPTIMIZERS: list[dict[str, Any]] = [
    {"optimizer": {"type": "SGD"}},
    {"optimizer": {"type": "SGD", "momentum": 0.9, "nesterov": True}},
    {"optimizer": {"type": "SGD", "momentum": 0.8, "dampening": 0.3}},
    {"optimizer": {"type": "SGD", "lr": 1e-3, "maximize": True, "weight_decay": 0.1}},
    {"optimizer": {"type": "Adam", "lr": 1e-3}},
    {"optimizer": {"type": "Adam", "lr": 1e-3, "amsgrad": True, "betas": [0.8, 0.99], "eps": 1e-6}},
    {"optimizer": {"type": "Adam", "lr": 1e-3, "decoupled_weight_decay": True, "maximize": True}},
    {"optimizer": {"type": "AdamW", "lr": 1e-3}},
    {"optimizer": {"type": "AdamW", "decay_norm_and_bias": False, "weight_decay": 0.3, "layer_decay": 0.7}},
    {"max_grad_norm": 0.5, "label_smoothing": 0.1, "drop_last": True},
    {"ema_decay": 0.8, "micro_batch_size": 5},
    {"momentum_schedule": {"type": "LinearLR", "start_factor": 0.5}},
    {"weight_decay_schedule": {"type": "ExponentialLR", "gamma": 0.9}, "optimizer": {"type": "AdamW"}},
    {"model": {"type": "lenet", "freeze": ["0.*"]}},
]


@pytest.mark.sampled(4)
@pytest.mark.parametrize("changes", OPTIMIZERS, ids=str)
def test_each_way_to_step(changes: dict[str, Any], stacked: None) -> None:
    assert_same(three(**changes))


@pytest.mark.sampled(4)
@pytest.mark.parametrize("changes", [*MODELS.values(), *OPTIMIZERS], ids=str)
def test_a_step_mixes_no_devices_and_reads_nothing_back(changes: dict[str, Any]) -> None:
    """As a graph on a GPU needs it: on a device whose tensors have no values, and which takes none from the CPU."""
    device = torch.device("meta")
    job = spec(precision="float32", **{"dataset": AUGMENTED} | changes)
    data = load(job.dataset, NOWHERE, device)
    stack = StackedModels([ModelSetup(job, Scheduled(job), built(job, device)) for _ in range(3)], data, device)

    stack.begin(0, 0)
    for step in range(job.steps_per_epoch):
        stack.advance(step, first=step == 0)
    stack.begin_test()
    for batch in data.test.batches(torch.arange(20, device=device), [slice(0, 20)], None):
        stack.test(*batch)

    assert {tensor.device for named in stack.state(1).values() for tensor in named.values()} == {device}


def test_runs_differ_in_every_number_of_their_optimizer(stacked: None) -> None:
    cycle = {"type": "CyclicLR", "base_lr": 0.01, "max_lr": 0.1, "step_size_up": 3}
    groups = [{"params": "*.bias", "lr": 0.02, "weight_decay": 0.0}]
    sgd = [
        spec(optimizer={"type": "SGD", "lr": 0.1}),
        spec(optimizer={"type": "SGD", "lr": 0.1, "momentum": 0.9, "dampening": 0.5, "weight_decay": 0.01}),
        spec(optimizer={"type": "SGD", "lr": 0.1, "momentum": 0.3}, schedule=cycle),
        spec(optimizer={"type": "SGD", "lr": 0.1}, schedule=cycle, max_grad_norm=0.3),
        spec(optimizer={"type": "SGD", "lr": 0.05, "param_groups": groups, "momentum": 0.9}),
    ]
    momenta = {"type": "SequentialLR", "milestones": [4], "schedulers": [{"type": "Constant"}, {"type": "LinearLR"}]}
    adam = [
        spec(optimizer={"type": "Adam"}),
        spec(optimizer={"type": "Adam", "betas": [0.7, 0.9], "eps": 1e-3, "weight_decay": 0.1}, schedule=momenta),
        spec(optimizer={"type": "Adam", "lr": 3e-3}, schedule=cycle | {"max_lr": 0.02}),
    ]

    assert_same(sgd)
    assert_same(adam)


def test_images_that_do_not_fit_on_the_device(stacked: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrserve.worker.engine.data.Split.resident", property(lambda self: False))
    assert_same(three(dataset=AUGMENTED))


def test_a_run_that_diverges_leaves_the_others_alone(way: None) -> None:
    specs = three(model={"type": "resnet9", "width": 2}, optimizer={"type": "SGD"})
    broken = spec(model=specs[0].model, optimizer={"type": "SGD", "lr": 1e200})
    outcomes = assert_same([specs[0], broken, *specs[1:]], rtol=1e-8)

    assert [type(outcome) for outcome in outcomes] == [Result, Diverged, Result, Result]


def test_a_run_may_end_early(way: None) -> None:
    rules = [{"patience": 1, "min_delta": 0.5}, None, {"patience": 2, "min_delta": 5.0}]
    jobs = [spec(early_stopping=rule, epochs=6, seed=i, ema_decay=0.5) for i, rule in enumerate(rules)]
    outcomes = assert_same(jobs)

    lengths = [len(outcome.epochs) for outcome in outcomes if isinstance(outcome, Result)]
    assert lengths[1] == 6
    assert lengths[2] == 3


def test_a_run_that_does_not_fit_its_own_model_says_so() -> None:
    wrong = {"type": "SGD", "lr": 0.1, "param_groups": [{"params": "nothing.*"}]}
    outcomes = train_together([spec(), spec(optimizer=wrong)], data_root=NOWHERE, device=CPU)

    assert [type(outcome) for outcome in outcomes] == [Result, SpecError]


@pytest.mark.parametrize("step", [1, 5, 7])
def test_one_run_is_stopped_and_the_others_go_on(step: int, way: None) -> None:
    jobs, steps, again = three(), list[int](), list[int]()
    hooks = [Hooks(), Hooks(step=steps.append, stop=lambda: steps[-1] >= step), Hooks(step=again.append)]
    outcomes = train_together(jobs, data_root=NOWHERE, device=CPU, hooks=hooks)

    assert [type(outcome) for outcome in outcomes] == [Result, Interrupted, Result]
    assert steps == list(range(step + 1))
    assert again == list(range(21))


CHANGES: list[dict[str, Any]] = [
    {"dataset": AUGMENTED, "model": {"type": "resnet9", "width": 2}, "ema_decay": 0.9},
    {"optimizer": {"type": "AdamW"}, "early_stopping": {"patience": 1, "min_delta": 0.1}},
    {"schedule": {"type": "ReduceLROnPlateau", "patience": 0, "threshold": 0.5}, "interval": "epoch"},
]


@pytest.fixture(scope="module", params=CHANGES, ids=["resnet9", "early stopping", "plateau"])
def jobs(request: pytest.FixtureRequest) -> list[TrainingSpec]:
    """Four runs, of which the last one diverges."""
    runs = three(**request.param)
    return [*runs, runs[0].model_copy(update={"optimizer": breaking(request.param)})]


@pytest.fixture(scope="module", params=[STACKED, THREADS], ids=["stacked", "threads"])
def undisturbed(
    request: pytest.FixtureRequest, jobs: list[TrainingSpec], tmp_path_factory: pytest.TempPathFactory
) -> tuple[float, list[Outcome], Path]:
    """The way the runs train, what they come to if nobody stops them, and their folder."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grouping, "SMALL", request.param)
        return request.param, train_together(jobs, data_root=NOWHERE, device=CPU, folder=folder), folder


@pytest.mark.sampled(10)
@pytest.mark.parametrize("stop", [4, 15, 0, 7])
def test_runs_that_are_stopped_and_resumed_give_the_figures_of_runs_that_are_not(
    jobs: list[TrainingSpec],
    undisturbed: tuple[float, list[Outcome], Path],
    stop: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    way, whole, folder = undisturbed
    monkeypatch.setattr(grouping, "SMALL", way)
    steps = [0]
    hooks = [Hooks(step=steps.append, stop=lambda: steps[-1] >= stop)] * len(jobs)  # in the middle of a test pass, too
    train_together(jobs, data_root=NOWHERE, device=CPU, hooks=hooks, folder=tmp_path)
    epochs: list[list[Epoch]] = [[] for _ in jobs]
    hooks = [Hooks(epoch=lambda epoch, best, mine=mine: mine.append(epoch)) for mine in epochs]
    resumed = train_together(jobs, data_root=NOWHERE, device=CPU, hooks=hooks, folder=tmp_path)

    for outcome, reference, reported in zip(resumed, whole, epochs, strict=True):
        assert type(outcome) is type(reference)
        assert str(outcome) == str(reference) or isinstance(outcome, Result)
        if isinstance(outcome, Result) and isinstance(reference, Result):
            assert np.array_equal(numbers(outcome.epochs), numbers(reference.epochs))
            assert np.array_equal(numbers(reported), numbers(reference.epochs))
    files = sorted(file.relative_to(folder) for file in folder.glob("*/*.safetensors"))
    assert files
    for file in files:
        assert (tmp_path / file).read_bytes() == (folder / file).read_bytes()


def breaking(changes: dict[str, Any]) -> Any:
    """An optimizer of the same type under which a run diverges."""
    return spec(optimizer={"type": "SGD"} | changes.get("optimizer", {}) | {"lr": 1e200}).optimizer


def test_hooks_are_called_in_the_caller_s_thread_in_order(way: None) -> None:
    calls: list[tuple[str, Any]] = []
    here = threading.get_ident()

    def noted(name: str) -> Callable[..., None]:
        def note(*values: Any) -> None:
            assert threading.get_ident() == here
            calls.append((name, values[0]))

        return note

    data = {"type": "fake", "samples": 120, "test_samples": 20, "image_size": 12}
    jobs = [spec(seed=seed, dataset=data, batch_size=2, epochs=1) for seed in (0, 1)]
    heard = Hooks(step=noted("step"), running=noted("running"), losses=noted("losses"), epoch=noted("epoch"))
    train_together(jobs, data_root=NOWHERE, device=CPU, hooks=[Hooks(), heard])

    names = [name for name, _ in calls]
    assert [value for name, value in calls if name == "step"] == list(range(61))
    assert calls[51] == ("running", 50)
    assert names[-2:] == ["losses", "epoch"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"batch_size": 8}, "the runs differ in batch_size"),
        ({"epochs": 5}, "the runs differ in epochs"),
        ({"optimizer": {"type": "AdamW"}}, "the runs differ in the type of their optimizer"),
        ({"optimizer": {"type": "SGD", "maximize": True}}, "the runs differ in optimizer.maximize"),
    ],
)
def test_runs_that_differ_in_more_than_numbers_train_alone(changes: dict[str, Any], reason: str) -> None:
    assert incompatibility([spec(), spec(**changes)]) == reason


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"model": {"type": "mlp", "dropout": 0.5}}, "no Dropout for several"),
        ({"model": {"type": "lstm"}}, "no RowReader for several"),
        ({"model": {"type": "vit", "patch_size": 4}}, "no PatchTransformer for several"),
        ({"model": {"type": "torchvision:resnet18"}}, "torchvision:resnet18 train one after another"),
        ({"optimizer": {"type": "Muon"}}, "Muon train one after another; together can SGD, Adam, AdamW"),
    ],
)
def test_a_layer_that_cannot_be_stacked_is_named(changes: dict[str, Any], part: str) -> None:
    reason = incompatibility([spec(**changes)] * 2)

    assert reason is not None
    assert part in reason
    with pytest.raises(ValueError, match=part):
        train_together([spec(**changes)] * 2, data_root=NOWHERE, device=CPU)


def test_any_runs_are_trained_as_it_suits_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouping, "SMALL", STACKED)
    monkeypatch.setattr(grouping, "MOST", 2)
    adam = {"type": "AdamW"}
    jobs = [spec(), spec(optimizer=adam), spec(seed=1), spec(optimizer={"type": "SGD", "lr": 1e200}), spec(seed=2)]
    outcomes = train_many(jobs, data_root=NOWHERE, device=CPU)

    assert [outcome.together if isinstance(outcome, Result) else None for outcome in outcomes] == [2, 1, 2, None, 2]
    assert isinstance(outcomes[3], Diverged)
    assert "the type of their optimizer" in (outcomes[1].alone or "")  # type: ignore[union-attr]
    assert outcomes[0].alone is None  # type: ignore[union-attr]


def test_a_run_says_why_it_trains_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouping, "SMALL", 0)  # then threads are no gain either

    assert grouping.why_alone(0, [spec()] * 2, CPU) == "on 1 core, runs of lenet side by side would not be done sooner"
    assert grouping.why_alone(0, [spec()], CPU) is None
    monkeypatch.setattr(grouping, "SMALL", STACKED)
    monkeypatch.setattr(grouping, "MOST", 1)
    outcomes = train_many([spec(), spec(seed=1)], data_root=NOWHERE, device=CPU)
    assert {outcome.alone for outcome in outcomes} == {"there is no memory for one more"}  # type: ignore[union-attr]


def test_a_large_model_keeps_a_gpu_busy_alone() -> None:
    gpu = torch.device("cuda")
    assert is_faster([spec()] * 2, gpu)
    assert not is_faster([spec()], gpu)
    assert not is_faster([spec(model={"type": "resnet18"}, batch_size=128)] * 2, gpu)
    assert 1 <= max_group_size(spec(), CPU) <= 64


def test_a_test_pass_of_large_batches_keeps_no_runs_from_training_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouping, "free_memory", lambda device: 16 * 2**30)
    picture = {"type": "fake", "image_size": 28, "samples": 4096}
    resnet = spec(model={"type": "resnet", "depth": 20}, dataset=picture, batch_size=32, eval_batch_size=1000)

    assert max_group_size(resnet, CPU) >= 8
    assert (
        max_group_size(resnet.model_copy(update={"batch_size": 4096}), CPU) == 1
    )  # a training pass keeps all that it computes


def test_runs_that_train_alone_make_way_for_each_other_at_a_rung(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(grouping, "MOST", 1)
    jobs, reported, pruned = [spec(seed=seed) for seed in range(3)], list[tuple[int, int]](), set[int]()
    whole = train_many(jobs, data_root=NOWHERE, device=CPU)

    def hooks(i: int) -> Hooks:
        return Hooks(epoch=lambda epoch, best: reported.append((i, epoch.epoch)), stop=lambda: i in pruned)

    left: dict[int, Outcome] = {}
    for [i], [outcome] in train_in_turn(
        jobs, data_root=NOWHERE, device=CPU, hooks=[hooks(i) for i in range(3)], folder=tmp_path, rungs=(1, 3)
    ):
        left[i] = outcome
        pruned.add(2)  # after the first one that has ended

    new = list(dict.fromkeys(reported))
    assert new[:9] == [(0, 0), (1, 0), (2, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 1), (2, 2)]
    assert new[9:] == [(0, 3), (1, 3)]
    assert isinstance(left[2], Interrupted)
    for i in (0, 1):
        assert isinstance(one := left[i], Result)
        assert isinstance(other := whole[i], Result)
        assert np.array_equal(numbers(one.epochs), numbers(other.epochs))
