"""Lambdas as they stand in public training scripts, read verbatim, against Python's own values."""

from __future__ import annotations

import math
import re
import time
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import torch

from lrcore.dialects import Framework, translate
from lrcore.expressions.expression import MAX_LENGTH, Expression
from lrcore.expressions.syntax import ARITY, MODULES
from tests.lrcore.strategies import parse, rates
from tests.lrcore.test_translate import BASE_LR, TOLERANCE, names

STEPS = np.arange(201)
# a power or an exponential of numpy may differ from Python's in the last bit, and a quotient of two in one bit more
ULPS = 2.0

AS_THEY_ARE = (
    "lambda epoch: 0.95 ** epoch",
    "lambda x:0.95**x",
    "lambda epoch: epoch // 30",
    "lambda epoch: 1 / (epoch / 4 + 1)",
    "lambda epoch: 1 / epoch",
    "lambda epoch: 1.0",
    "lambda epoch: 1 / (epoch / 10000 + 1)",
    "lambda epoch : 0.95 ** epoch",
    "lambda epoch: 0.85**epoch",
    "lambda _: 1.0",
    "lambda epoch : (epoch+1)/10.0",
    "lambda x: 1e-2 * (1. + 1e-3 * float(x)) ** -0.90",
    "lambda s: 1.",
    "lambda step: min(step / 10, 1)",
    "lambda epoch: np.power(0.5, int(epoch / 25))",
    "lambda epoch: np.power(0.5, int(\n                                          epoch / 25))",
    "lambda x: max(0.0, 10**(-x*0.0002))",
    "lambda x: 1",
    "lambda epoch: math.pow(0.5, (epoch - 10 + 1) / float(15)) if epoch >= 10 else (epoch ** 3 / 1000)",
    "lambda epoch: np.sin(epoch) / epoch",
    "lambda epoch: np.exp(-epoch / 5)",
    "lambda epoch: 0.1 if epoch == 19 else 1",
    "lambda epoch: 0.1 if epoch in [85, 125, 165] else 1.0",
    "lambda epoch: 0.1 if epoch in (120, 160) else 1",
    "lambda epoch: 0.1 if epoch < 30 else (0.01 if epoch < 50 else 0.001)",
    "lambda epoch: 1.0 if epoch < 10 else (10 if epoch < 33 else 1)",
    "lambda epoch: 1.0 if epoch < 30 else 0.5 if epoch < 60 else 0.1",
    "lambda epoch: 1.0 if epoch < 40\n                                       else 0.5",
    "lambda epoch: min(1/np.sqrt(epoch), epoch*np.power(4,-1.5))",
    "lambda epoch: min(1.0, epoch / 100.0) * 0.998**epoch",
    "lambda epoch: max(0.2, 0.98 ** epoch)",
    "lambda epoch: pow((1 - epoch / 10001), 0.9)",
    "lambda epoch: (epoch-9)**(-0.5) if epoch >=10 else 1",
    "lambda epoch: (epoch+1)**(-0.5)",
    "lambda epoch: 1 / math.sqrt(1 + epoch)",
    "lambda epoch: 1 / math.sqrt( int(epoch/100) + 1)",
    "lambda epoch: 1 if epoch<15 else 1/5 if epoch < 25 else 1/10 if epoch<35 else 1/20",
    "lambda epoch: 1 if epoch < 300 else 0.978 ** (epoch-300)",
    "lambda epoch: 1 if epoch in [0] else 0.5 if epoch in [1] else 0.25 if epoch in [2,3,4] else 0.2",
    "lambda epoch: 1 if epoch < 40_000 else 5e-1",
    "lambda it: (1 + 0.001 * it) ** (-0.75)",
    "lambda t: 1.0 / max(1, t)",
    "lambda e: .1 ** e",
    "lambda epoch: (1 - min(60-1, epoch) / 60) ** 0.7",
    "lambda epoch: 10 ** (-epoch / 7.0)",
    "lambda epoch: 10 ** (0.4 * epoch - 5)",
    "lambda epoch: 10 ** -(epoch // 15)",
    "lambda epoch: 10 ** (epoch - 1)",
    "lambda epoch: 0.1 ** (epoch // 30)",
    "lambda epoch: 0.97 if epoch % 5 == 0 else 1",
    "lambda epoch: round(0.5 + 1 / (epoch + 1e-9), 4)",
    "lambda step: min((step+1)/100, 1.0)  # simple warmup",
)
WITH_NAMES: tuple[tuple[str, dict[str, float]], ...] = (  # and what the names may stand for
    ("lambda x: (((1 + math.cos(x * math.pi / epochs)) / 2) ** 1.0) * 0.95 + 0.05  # cosine", {"epochs": 300}),
    ("lambda x: (1 - x / epochs) * (1.0 - lrf) + lrf", {"epochs": 300, "lrf": 0.01}),
    ("lambda epoch: (1 - epoch / args.epochs) ** 0.9", {"args.epochs": 240}),
    ("lambda epoch: 0.5 * (1. + math.cos(math.pi * epoch / args.epochs))", {"args.epochs": 200}),
    ("lambda epoch: 0.5 * (1 + math.cos(math.pi * min(epoch / EPOCHS, 1)))", {"EPOCHS": 90}),
    (
        "lambda epoch: min((epoch + 1) / (args.warmup_epoch + 1e-8), "
        "0.5 * (math.cos(epoch / args.total_epoch * math.pi) + 1))",
        {"args.warmup_epoch": 20, "args.total_epoch": 200},
    ),
    ("lambda steps: min((steps + 1) / warmup_steps, 1)", {"warmup_steps": 50}),
    ("lambda step: min((step + 1)**-0.5, (step + 1) * WARMUP_STEPS**-1.5)", {"WARMUP_STEPS": 40}),
    ("lambda step: 1.0 -\n            max(0, step - opt.keep_step) / float(opt.decay_step + 1)",
     {"opt.keep_step": 100, "opt.decay_step": 150}),
    ("lambda epoch: 1.0 if epoch < half_epochs \\\n        else float(total_epochs - epoch + 1)"
     " / float(total_epochs - half_epochs + 1)", {"half_epochs": 100, "total_epochs": 200}),
    ("lambda s: (s + 1) / warm if s < warm else max(0.0, (steps - s) / max(1, steps - warm))",
     {"steps": 180, "warm": 9}),
    ("lambda s: min(1.0, (s + 1) / 20) * 0.5 * (1 + math.cos(math.pi * min(1.0, s / a.steps)))", {"a.steps": 160}),
    ("lambda step: min((step+1)/warm,1.0)*(.5*(1+np.cos(np.pi*max(0,step-warm)/max(1,total_steps-warm))))",
     {"warm": 10, "total_steps": 190}),
    ("lambda epoch: np.power(\n            10, ((log_end_lr - log_start_lr) / total_epochs) * epoch + log_start_lr\n"
     "            )", {"log_end_lr": -5.0, "log_start_lr": -2.0, "total_epochs": 20}),
    ("lambda epoch: math.exp(math.log(final_lr / init_lr) * epoch / num_epochs)",
     {"final_lr": 1e-5, "init_lr": 1e-2, "num_epochs": 80}),
    ("lambda epoch: math.log(epoch + 1)/math.log(opt.warm_up_epochs) if epoch < opt.warm_up_epochs else 1",
     {"opt.warm_up_epochs": 30}),
    ("lambda epoch: round(lr_start - (lr_start - lr_end) * min(epoch / num_epochs, 1.0),5)",
     {"lr_start": 0.1, "lr_end": 0.001, "num_epochs": 150}),
    ("lambda epoch: 10 ** float(args.lr_lmbda) if ((epoch % int(args.lr_step_wait) == 0) & (epoch > 0)) else 1",
     {"args.lr_lmbda": -0.5, "args.lr_step_wait": 20}),
    ("lambda x: args.lr_decay ** max(x + 1 - args.epoch_start_decay, 0.0)",
     {"args.lr_decay": 0.7, "args.epoch_start_decay": 25}),
    ("lambda epoch: epoch / args.warmup if epoch < args.warmup else 1 * 0.2**((epoch-800)//100)", {"args.warmup": 10}),
)  # fmt: skip
# what the others use that people write
OTHERS = (
    "lambda epoch: 0.5 * (1 + numpy.cos(numpy.pi * epoch / 200))",
    "lambda e: 1 - math.tanh(e / 50)",
    "lambda epoch: 1 / (1 + math.log10(epoch + 1)) + math.log2(epoch + 2) + math.log(epoch + 2, 2)",
    "lambda epoch: -math.expm1(-epoch / 20) + np.log1p(epoch)",
    "lambda epoch: epoch < 5 and 0.1 or 1.0",
    "lambda epoch: 0 or epoch and 1 / epoch",
    "lambda epoch: 1.0 if not epoch % 10 else 0.5",
    "lambda epoch: 0.5 if epoch not in {3, 4} and (epoch > 100 or epoch == 7) else 1",
    "lambda epoch: 1e-4 if 10 <= epoch < 15 else 1e-3 if epoch in range(15, 20) else 1e-5",
    "lambda epoch: 0.1 if epoch in range(30) else 1 if epoch in range(40, 140, 30) else 0.5",
    "lambda epoch: 0.1 ** ((epoch >= 80) + (epoch >= 120))",
    "lambda epoch: round(epoch / 2) + round(-epoch / 4) + int(-epoch / 3) + round(2.675 * epoch, 2)",
    "lambda epoch: np.clip(epoch / 10, 0.1, 1.0) + np.minimum(epoch, 3) + math.fabs(2 - epoch)",
    "lambda epoch: max([0.1, 1 - epoch / 100]) * math.tau * np.where(epoch > 3, 1, 2)",
    "(lambda epoch: 0.9 ** epoch)",
    "0.9 ** epoch",
)

NAMES: dict[str, Any] = {"math": math, "np": np, "numpy": np, "torch": torch}


def in_python(source: str) -> list[float]:
    """What Python's lambda gives at each step; NaN where it raises."""
    code = source if "lambda" in source else f"lambda epoch: {source}"
    function = eval(f"({code}\n)", NAMES)
    found = []
    for t in STEPS.tolist():
        try:
            found.append(float(function(t)))
        except (ArithmeticError, ValueError, TypeError):
            found.append(math.nan)
    return found


def assert_python_s_values(source: str) -> None:
    found, expected = Expression(source)(STEPS), np.array(in_python(source))

    bad = np.isnan(expected)  # Python raises, and lrserve has no rate
    assert not np.isfinite(found[bad]).any()
    off = np.abs(found[~bad] - expected[~bad]) / np.spacing(np.abs(expected[~bad]))
    largest = np.abs(expected[~bad]).max()  # 1 + cos(x) near pi loses digits in Python, too
    off = np.minimum(off, np.abs(found[~bad] - expected[~bad]) / np.spacing(largest))
    assert off.max() <= ULPS, off.max()


def filled_in(source: str, values: dict[str, float]) -> str:
    """The lambda with numbers for its names."""
    for name, value in values.items():
        source = re.sub(rf"(?<![\w.]){re.escape(name)}\b", repr(value), source)
    return source


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("source", [*AS_THEY_ARE, *OTHERS])
def test_a_lambda_gives_python_s_own_values(source: str) -> None:
    assert_python_s_values(source)


@pytest.mark.parametrize(("source", "values"), WITH_NAMES)
def test_a_lambda_with_numbers_for_its_names_gives_python_s_own_values(source: str, values: dict[str, float]) -> None:
    assert_python_s_values(filled_in(source, values))


@pytest.mark.parametrize(("source", "values"), WITH_NAMES)
def test_a_name_that_must_be_filled_in_is_named(source: str, values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="write its number in its place") as refused:
        Expression(source)

    assert any(name in str(refused.value) for name in values)


EXTRA = {"where": "epoch > 3, {0}, 1", "clip": "{0}, 0.25, 1.5", "pow": "{0}, 1.5", "min": "{0}, 1", "max": "{0}, 1"}
CALLS = {name: f"abs({name}({EXTRA.get(name, '{0}').format('(min(epoch, 1000) + 1) / 256')}))" for name in ARITY} | {
    "round to digits": "round((epoch + 1) / 256, 2)",
    "log to a base": "abs(log(epoch + 2, 3))",
    "and": "0.5 + (epoch > 3 and epoch / 256)",
    "or": "0.5 + (epoch // 10 % 2 or epoch / 256)",
    "and or": "(epoch < 5 and 0.25) or (epoch < 9 and (epoch > 6 or epoch == 5) and 0.5) or 1",
    "not": "1.0 if not (epoch < 5 or epoch > 9) else 0.5",
    "in": "0.1 if epoch in [3, 5, 8] else 1 if epoch not in (7, 9) else 0.5",
    "range": "0.1 if epoch in range(3, 90, 7) else 1",
    "conditions as numbers": "0.5 ** ((epoch >= 8) + (epoch in [4, 5]) + (not epoch) + (epoch > 3 and epoch < 7))",
}
RUN = np.arange(150)


def run(code: str, framework: Framework) -> np.ndarray:
    """The first rates of translated code, compiled where people compile it."""
    defined = names(code, framework)
    if framework in ("optax", "keras"):
        import jax

        return np.asarray(jax.jit(jax.vmap(defined["schedule"]))(jax.numpy.asarray(RUN)), dtype=np.float64)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=BASE_LR)
    scheduler = defined["make_scheduler"](optimizer)
    found = []
    for _ in range(len(RUN)):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return np.array(found)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("framework", ["torch", "optax", "keras"])
@pytest.mark.parametrize("case", CALLS)
def test_every_function_is_translated_exactly(case: str, framework: Framework) -> None:
    schedule = parse({"type": "LambdaLR", "lr_lambda": f"lambda epoch: {CALLS[case]}"})
    expected = rates(schedule, RUN, BASE_LR)

    translation = translate(schedule, BASE_LR, framework)

    assert translation.exact, translation.notes
    off = np.abs(run(translation.code, framework) - expected).max()
    assert off <= TOLERANCE[framework] * expected.max(), translation.code


@pytest.mark.parametrize("source", [*AS_THEY_ARE, *OTHERS])
def test_a_lambda_becomes_code_for_torch_with_the_same_values(source: str) -> None:
    schedule = parse({"type": "LambdaLR", "lr_lambda": source})
    if not ((expected := rates(schedule, RUN, BASE_LR)) >= 0).all() or np.isinf(expected).any():
        pytest.skip("not a rate at every step")

    translation = translate(schedule, BASE_LR, "torch")

    if translation.exact:
        np.testing.assert_allclose(run(translation.code, "torch"), expected, rtol=1e-12)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_s_function_is_the_one_that_is_meant(module: str) -> None:
    if module == "jnp":
        pytest.skip("numpy's own functions under another name")
    theirs = NAMES[module]
    for name, ours in MODULES[module].items():
        arguments = EXTRA.get(ours, "{0}").format("0.3").replace("epoch > 3, ", "1, ")
        found = Expression(f"lambda x: {module}.{name}({arguments}) + 0 * x")(np.array([4]))[0]
        values = [float(argument) for argument in arguments.split(",")]
        if module == "torch":
            values = [torch.tensor(value, dtype=torch.float64) for value in values]  # type: ignore[misc]
        if ours == "where":
            values = [bool(values[0]), *values[1:]] if module != "torch" else [values[0] > 0, *values[1:]]
        assert found == pytest.approx(float(getattr(theirs, name)(*values)), rel=1e-15), name


@pytest.mark.parametrize("piece", ["epoch in [{0}, {0}]", "{0} and {0}", "not {0}", "round({0}, 3)", "min([{0}, {0}])"])
def test_nested_parts_are_read_or_refused_at_once(piece: str) -> None:
    source = "epoch"
    while len(wrapped := piece.format(source)) <= MAX_LENGTH:
        source = wrapped
    began = time.process_time()

    with suppress(ValueError):
        Expression(source).as_formula()

    assert time.process_time() - began < 1


def test_a_range_s_own_parts_are_counted() -> None:
    with pytest.raises(ValueError, match="more than 200 parts"):
        Expression(" + ".join(["(epoch in range(1, 9, 2))"] * 25))


def test_the_text_is_kept_as_it_was_given() -> None:
    source = "lambda x: 0.9 ** x  # mine"

    assert parse({"type": "LambdaLR", "lr_lambda": source}).model_dump()["lr_lambda"] == source


def test_a_scale_function_s_lambda_may_name_its_parameter() -> None:
    spec = {"type": "CyclicLR", "base_lr": 0.1, "max_lr": 1.0, "step_size_up": 4, "scale_fn": "{}"}
    named = parse(spec | {"scale_fn": "lambda cycle: 1/(2.**(cycle-1))"})

    np.testing.assert_array_equal(rates(named, RUN, 0.1), rates(parse(spec | {"scale_fn": "1/(2.**(x-1))"}), RUN, 0.1))
