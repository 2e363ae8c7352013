"""What a range test's losses suggest."""

from __future__ import annotations

import csv
import io
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lrcore.jobs.range_test import (
    SAFETY,
    Floats,
    RangeTestResult,
    Suggestion,
    Watch,
    as_csv,
    end_of,
    mean_losses,
    noise_of,
    result,
    smoothed,
    suggestions,
)
from lrcore.jobs.training_spec import TrainingSpec
from lrcore.pictures.figure import encoded
from lrcore.reports.figure import range_test_figure
from tests.factories import job_spec, range_test_spec

RATES = np.geomspace(1e-7, 10, 100)
NAMES = ("steepest", "valley", "max_lr")


def bowl(fall_at: float = 1e-3, rise_at: float = 1.0) -> Floats:
    """A loss that falls from 2.3 around one rate and rises quickly after another one."""
    x = np.log10(RATES)
    fallen = 2.3 - 1.8 / (1 + np.exp(-4 * (x - math.log10(fall_at))))
    return fallen + np.where(x > math.log10(rise_at), (RATES / rise_at) ** 2 - 1, 0.0)


def rates_of(found: Suggestion) -> list[float]:
    return [rate for rate in (getattr(found, name) for name in NAMES) if rate is not None]


def test_the_running_mean_is_the_weighted_mean_of_all_losses() -> None:
    losses = np.random.default_rng(0).random(50)
    found = smoothed(losses.tolist(), 0.1)

    for n in (1, 2, 50):
        weights = 0.9 ** np.arange(n - 1, -1, -1)
        assert found[n - 1] == pytest.approx(np.average(losses[:n], weights=weights), rel=1e-12)
    assert smoothed(losses.tolist(), 1.0).tolist() == losses.tolist()
    np.testing.assert_allclose(smoothed([2.3] * 50, 0.05), 2.3, rtol=1e-12)


def test_a_known_curve_gives_known_rates() -> None:
    found = suggestions(RATES, bowl())

    step = RATES[1] / RATES[0]
    assert found.steepest == pytest.approx(1e-3, rel=step - 1)
    assert found.valley is not None
    assert 1e-5 < found.valley < 1e-2
    assert found.max_lr is not None
    assert SAFETY < found.max_lr < SAFETY * 1.2
    assert found.reasons == {}


def test_a_spike_that_falls_back_is_no_descent() -> None:
    loss = bowl(rise_at=100.0)
    at = int(np.searchsorted(RATES, 0.1))
    loss[at:] = np.linspace(16.0, 2.0, len(loss) - at)
    found = suggestions(RATES, loss)

    assert found.steepest == pytest.approx(1e-3, rel=0.25)
    assert found.valley is not None
    assert found.valley < 0.1
    assert found.max_lr == pytest.approx(SAFETY * RATES[at - 1])


@pytest.mark.parametrize(
    ("loss", "why"),
    [
        (np.geomspace(1, 10, 100), "falls nowhere"),
        (np.full(100, 2.3), "falls nowhere"),
        (bowl()[:8], "8 finite losses"),
        (np.full(100, np.nan), "0 finite losses"),
        (np.array([np.inf]), "0 finite losses"),
    ],
)
def test_a_curve_that_allows_no_suggestion_says_why(loss: Floats, why: str) -> None:
    found = suggestions(RATES[: len(loss)], loss)

    assert rates_of(found) == []
    assert set(found.reasons) == set(NAMES)
    assert all(why in reason for reason in found.reasons.values())


def test_a_loss_that_only_falls_has_no_highest_rate() -> None:
    found = suggestions(RATES, np.linspace(2.3, 0.5, 100))

    assert (found.max_lr, list(found.reasons)) == (None, ["max_lr"])
    assert "end_lr" in found.reasons["max_lr"]
    assert len(rates_of(found)) == 2


def test_a_loss_that_breaks_at_its_lowest_has_left_it() -> None:
    loss = np.concatenate([np.linspace(2.3, 0.5, 60), [np.inf]])

    assert suggestions(RATES[:61], loss).max_lr == pytest.approx(SAFETY * RATES[59])


def test_a_highest_rate_below_the_first_one_is_none() -> None:
    lr = np.linspace(1.0, 5.0, 100)
    loss = (lr - 2) ** 2 + 0.1

    assert "below start_lr" in suggestions(lr, loss).reasons["max_lr"]


curves = st.lists(st.floats(0.01, 100), min_size=0, max_size=60).map(np.array)
tails = st.sampled_from([[], [math.nan], [math.inf], [math.nan] * 3 + [1.0], [math.inf, 0.1, 0.1]])


@given(curves, tails)
def test_a_suggestion_is_a_tested_rate_whatever_the_curve(loss: Floats, tail: list[float]) -> None:
    both = np.concatenate([loss, tail])
    lr = np.geomspace(1e-4, 1.0, max(2, len(both)))[: len(both)]
    found = suggestions(lr, both)

    for name in NAMES:
        rate = getattr(found, name)
        assert (rate is None) == (name in found.reasons)
        if rate is not None:
            assert lr[0] <= rate <= lr[max(0, len(loss) - 1)]
    assert suggestions(lr[: len(loss) + 1], both[: len(loss) + 1]) == found  # what follows it is not looked at


@given(curves, st.sampled_from([2.0**-10, 0.5, 4.0, 2.0**20]))
def test_the_scale_of_the_loss_does_not_matter(loss: Floats, factor: float) -> None:
    lr = np.geomspace(1e-4, 1.0, max(2, len(loss)))[: len(loss)]

    assert suggestions(lr, loss * factor) == suggestions(lr, loss)
    np.testing.assert_array_equal(smoothed(loss * factor, 0.25), smoothed(loss, 0.25) * factor)


@given(st.lists(st.integers(0, 6), min_size=5, max_size=40), st.floats(-3, 0))
def test_the_longest_fall_is_as_long_as_the_quadratic_search_finds(values: list[int], shift: float) -> None:
    from lrcore.jobs.range_test import _longest_fall

    loss = np.array(values, dtype=np.float64) + shift
    longest = [1] * len(loss)
    for i in range(len(loss)):
        longest[i] = 1 + max((longest[j] for j in range(i) if loss[j] > loss[i]), default=0)

    assert _longest_fall(loss) == (max(longest), longest.index(max(longest)))


def test_the_test_ends_when_the_smoothed_loss_runs_away() -> None:
    watch = Watch(range_test_spec(smoothing=1.0, stop_factor=4))
    assert [watch.after(loss) for loss in (2.0, 1.0, 4.0)] == [None] * 3
    assert watch.after(4.1) == "diverged"
    assert Watch(range_test_spec()).after(math.nan) == "not_finite"
    never = Watch(range_test_spec(stop_factor=None, smoothing=1.0))
    assert [never.after(loss) for loss in (1.0, 1e9)] == [None] * 2


def test_what_is_not_finite_is_null_in_json_and_empty_in_csv() -> None:
    found = result(range_test_spec(use_for="valley", epochs=1), [[2.0, math.inf]], "not_finite", "id")
    rows = list(csv.DictReader(io.StringIO(as_csv(found))))

    assert found.job_id is None
    assert json.loads(found.model_dump_json())["loss"] == [2.0, None]
    assert RangeTestResult.model_validate_json(found.model_dump_json()) == found
    assert [row["loss"] for row in rows] == ["2.0", ""]
    assert [float(row["lr"]) for row in rows] == found.lr
    assert as_csv(None) == "step,lr,loss,smoothed_loss\n"


def test_a_result_of_several_seeds_is_that_of_their_mean() -> None:
    shift = np.sin(np.arange(100))
    losses = [(bowl() + shift).tolist(), (bowl() - shift).tolist(), bowl().tolist()]
    test = range_test_spec(seeds=[4, 0, 2], smoothing=0.5)
    found = result(test, losses, "num_iter", "", together=3)
    mean = result(range_test_spec(smoothing=0.5), [mean_losses(losses)], "num_iter", "")
    rows = list(csv.DictReader(io.StringIO(as_csv(found))))

    assert (found.losses, found.seeds, found.together) == (losses, [4, 0, 2], 3)
    assert found.loss == pytest.approx(bowl())
    assert found.suggestion == mean.suggestion
    assert (found.loss, found.smoothed_loss) == (mean.loss, mean.smoothed_loss)
    assert (mean.losses, mean.seeds, mean.together) == (None, [0], 1)
    assert list(rows[0]) == ["step", "lr", "loss", "smoothed_loss", "loss_seed_4", "loss_seed_0", "loss_seed_2"]
    assert [float(row["loss_seed_0"]) for row in rows] == losses[1]
    assert RangeTestResult.model_validate_json(found.model_dump_json()) == found


def test_a_mean_is_finite_where_all_seeds_are() -> None:
    losses = [[1.0, 2.0, 3.0], [3.0, math.inf, 5.0], [2.0, 2.0, math.nan]]
    found = result(range_test_spec(seeds=[0, 1, 2]), losses, "not_finite", "")

    assert found.loss == [2.0, None, None]
    assert found.losses == [[1.0, 2.0, 3.0], [3.0, None, 5.0], [2.0, 2.0, None]]
    assert [math.copysign(1, loss) for loss in mean_losses([[-0.0, 0.0, -1.0]])] == [-1, 1, -1]


def test_the_mean_ends_the_test() -> None:
    steep, flat = [2.0, 1.0, 1.0, 9.0, 90.0], [2.0, 1.0, 1.0, 1.0, 1.0]
    test = range_test_spec(smoothing=1.0, stop_factor=6)

    assert end_of(test, [steep]) == (4, "diverged")
    assert end_of(test, [steep, flat]) == (5, "diverged")
    assert end_of(test, [flat, flat]) == (5, "num_iter")
    assert end_of(test, [flat, [2.0, math.nan]]) == (2, "not_finite")


@pytest.mark.parametrize("form", ["png", "svg"])
def test_every_result_has_a_picture(form: str) -> None:
    broken = result(range_test_spec(), [[math.nan]], "not_finite", "")
    whole = result(range_test_spec(smoothing=1.0), [bowl().tolist()], "num_iter", "")
    several = result(
        range_test_spec(smoothing=1.0, seeds=[0, 1]), [bowl().tolist(), [math.nan] * 100], "not_finite", ""
    )

    for found in (None, broken, whole, several):
        assert encoded(range_test_figure(found, "title"), form)
    if form == "svg":
        text = encoded(range_test_figure(whole, "title"), form)
        assert text == encoded(range_test_figure(whole, "title"), form)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"end_lr": 1e-9}, "end_lr"),
        ({"start_lr": 0.0}, "start_lr"),
        ({"num_iter": 1}, "num_iter"),
        ({"mode": "log"}, "mode"),
        ({"smoothing": 0.0}, "smoothing"),
        ({"stop_factor": 1.0}, "stop_factor"),
        ({"use_for": "best", "epochs": 1}, "use_for"),
        ({"use_for": "valley"}, "epochs"),
        ({"seeds": [3, 1, 3]}, "seeds"),
        ({"seeds": []}, "seeds"),
        ({"seeds": list(range(65))}, "seeds"),
        ({"seeds": [0, -1]}, "seeds.1"),
        ({"seeds": [0, 1.5]}, "seeds.1"),
        ({"schedule": None}, "schedule"),
        ({"drop_last": True, "batch_size": 1000}, "batch_size"),
        ({"optimizer": {"type": "SGD", "lr": 0.0, "param_groups": [{"params": "fc*", "lr": 0.1}]}}, "optimizer.lr"),
    ],
)
def test_a_wrong_spec_names_its_field(changes: dict[str, object], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        range_test_spec(**changes)
    (error,) = refused.value.errors()
    cause = error.get("ctx", {}).get("error")
    path = [*error["loc"], *getattr(cause, "field", ())]

    assert ".".join(map(str, path)) == field


@pytest.mark.parametrize(("mode", "middle"), [("exp", 1e-2), ("linear", 0.50005)])
def test_the_rates_go_from_the_first_to_the_last(mode: str, middle: float) -> None:
    rates = range_test_spec(start_lr=1e-4, end_lr=1.0, num_iter=5, mode=mode).rates()

    assert (len(rates), rates[0], rates[-1]) == (5, 1e-4, pytest.approx(1.0))
    assert rates[2] == pytest.approx(middle)
    assert (np.diff(rates) > 0).all()


def test_a_test_takes_as_many_passes_as_its_steps_need() -> None:
    test = range_test_spec(num_iter=10)  # four steps per epoch

    assert test.progress(0).model_dump(include={"epochs", "steps", "fraction"}) == {
        "epochs": 3,
        "steps": 10,
        "fraction": 0.0,
    }
    assert (test.progress(9).epoch, test.progress(10).epoch, test.progress(10).fraction) == (2, 2, 1.0)
    assert (test.run().epochs, test.run().interval) == (3, "step")


@pytest.mark.parametrize(
    ("optimizer", "others"),
    [
        ({"type": "SGD", "lr": 0.5, "param_groups": [{"params": "fc*", "lr": 0.05}, {"params": "conv*"}]}, [0.02, 0.2]),
        ({"type": "Muon", "lr": 0.5, "others": {"type": "AdamW", "lr": 0.05}}, [0.02]),
        ({"type": "SGD", "lr": 0.0, "momentum": 0.9}, []),
    ],
)
def test_the_training_at_a_suggestion_keeps_everything_else(optimizer: dict[str, object], others: list[float]) -> None:
    test = range_test_spec(optimizer=optimizer, seed=3, ema_decay=0.9, epochs=7, use_for="valley")
    job = test.training(0.2)

    assert job.optimizer.base_lrs == pytest.approx((0.2, *others))
    expected = job_spec(seed=3, ema_decay=0.9, epochs=7, optimizer=job.optimizer.model_dump())
    assert job == TrainingSpec.model_validate(expected)
    assert (test.run().ema_decay, test.run().steps_per_epoch) == (None, job.steps_per_epoch)


@pytest.mark.parametrize("weight", [0.05, 0.2, 1.0])
def test_a_fall_that_chance_makes_suggests_nothing_and_one_beyond_it_does(weight: float) -> None:
    chance = np.random.default_rng(0).normal(0, 0.03, (40, 100))
    falling = 2.3 - 0.6 * np.clip(np.linspace(-2.2, 1.8, 100), 0, 1)

    def found(loss: Floats) -> Suggestion:
        return suggestions(RATES, smoothed(loss.tolist(), weight), noise_of(loss.tolist(), weight))

    assert sum(found(2.3 + row).valley is not None for row in chance) <= 2
    assert all(found(falling + row).valley is not None for row in chance)
    assert "falls nowhere by" in next(f for f in map(found, 2.3 + chance) if f.valley is None).reasons["valley"]
