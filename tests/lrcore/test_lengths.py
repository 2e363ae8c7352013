"""Lengths as shares of a run: which fields take them, and how they are rounded. Integers that are written as 10.0."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from types import SimpleNamespace
from typing import Annotated, Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

import lrcore.jobs.range_test
import lrserve.api.routes.translate
from lrcore.compare import CompareRequest
from lrcore.curve import CurveRequest
from lrcore.dialects._read import FRAMEWORKS
from lrcore.family import Spec
from lrcore.jobs.experiment import ExperimentSpec
from lrcore.numerics.lengths import SHARE_PATTERN, RunLength, SharesOf
from lrcore.schedules import SCHEDULES
from lrcore.schedules._base import MAX_STEP, RatesByStep, StepCount, StepIndex
from tests.lrcore.strategies import Json, laws, parse

OURS = ("lrcore.", "lrserve.")  # other tests define models, too
RUN = RunLength(100, 10)
STEPS: TypeAdapter[int] = TypeAdapter(StepIndex)

# not lengths in steps of the run, whatever their names say
NO_SHARES = {
    "NoamDecay": ("d_model",),
    "CosineAnnealingWarmRestarts": ("T_mult", "eta_min"),
    "OneCycleLR": ("epochs", "steps_per_epoch", "pct_start"),
    "ReduceLROnPlateau": ("patience", "cooldown", "factor"),
    "greedy": ("patience", "cooldown", "warmup", "window_size", "reset_start"),
    "StepLR": ("last_epoch", "gamma"),
    "Repeat": ("cycles", "growth", "decay"),
    "Clamp": ("min", "max"),
    "Scale": ("factor",),
    "cosine_with_min_lr": ("min_lr", "min_lr_rate", "num_cycles"),
}
SHARES = {
    "CosineScheduler": ("max_update", "warmup_steps"),
    "SWALR": ("anneal_epochs",),
    "warmup_stable_decay": ("num_warmup_steps", "num_stable_steps", "num_decay_steps", "num_training_steps"),
    "OneCycleLR": ("total_steps",),
    "Shift": ("by",),
    "ExponentialRangeTest": ("num_iter",),
    "StepLRScheduler": ("decay_t", "warmup_t"),
    "MultiStepLR": ("milestones",),
    "manual": ("values",),
    "piecewise_constant_schedule": ("boundaries_and_scales",),
    "PiecewiseDecay": ("boundaries",),
}


def models(base: type[BaseModel] = Spec) -> Iterator[type[BaseModel]]:
    for cls in base.__subclasses__():
        yield cls
        yield from models(cls)


@cache
def fields() -> dict[str, TypeAdapter[Any]]:
    """The fields of all models, and the arguments of all functions that read other frameworks' names."""
    kinds = dict(_kinds())
    adapters = {repr(kind): TypeAdapter(kind) for kind in {repr(kind): kind for kind in kinds.values()}.values()}
    return {name: adapters[repr(kind)] for name, kind in kinds.items()}


def _kinds() -> Iterator[tuple[str, Any]]:
    for cls in dict.fromkeys(cls for cls in models() if cls.__module__.startswith(OURS)):
        cls.model_rebuild()
        for name, field in cls.model_fields.items():
            kind: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
            yield f"{cls.__module__}.{cls.__name__}.{name}", kind
    for framework in FRAMEWORKS:
        for reader in importlib.import_module(f"lrcore.dialects.{framework}").READERS.values():
            for name, kind in get_type_hints(reader, include_extras=True).items():
                if name != "return":
                    yield f"{framework}.{reader.__name__}.{name}", kind


@cache
def _options(adapter: TypeAdapter[Any]) -> list[Json]:
    return list(options(adapter.json_schema()))


def options(schema: Json) -> Iterator[Json]:
    """What a field may be, the items of its lists included, but not what lies in other models."""
    for option in schema.get("anyOf", [schema]):
        if {"$ref", "oneOf", "properties"} & option.keys():
            continue
        if option is not schema and "anyOf" in option:
            yield from options(option)
        elif option.get("type") == "array":
            yield from options(option.get("items", {}))
        else:
            yield option


def is_open(schema: Json) -> bool:
    """Whether it takes text or objects of any kind."""
    text = schema.get("type") == "string" and schema.get("pattern") != SHARE_PATTERN
    return text or schema == {} or schema.get("additionalProperties") is True


def says_share(schema: Json) -> bool:
    return json.dumps(SHARE_PATTERN) in json.dumps(schema)


def accepts(adapter: TypeAdapter[Any], *values: Any) -> bool:
    """Whether a value, a list of it once or twice, or an object with it as its key is valid."""
    for value in values:
        for tried in (value, [value], [value] * 2, *([{value: 0.1}] if isinstance(value, str) else [])):
            try:
                with SharesOf(RUN):
                    adapter.validate_python(tried)
                return True
            except ValidationError:
                continue
    return False


def test_a_field_takes_shares_if_and_only_if_its_schema_says_so() -> None:
    wrong = []
    for name, adapter in fields().items():
        kinds = _options(adapter)
        if any(map(is_open, kinds)) or {kind["type"] for kind in kinds} <= {"null"}:
            continue  # of others nothing is said here, or they are models whose fields are here by themselves
        says = any(says_share(kind) for kind in kinds)
        if not accepts(adapter, "50%") is accepts(adapter, "2.5ep") is says:
            wrong.append(name)

    assert wrong == []


def test_a_field_takes_10_0_wherever_its_schema_says_integer() -> None:
    wrong = []
    for name, adapter in fields().items():
        integers = [kind for kind in _options(adapter) if kind.get("type") == "integer"]
        for kind in integers:
            good = kind["enum"][0] if "enum" in kind else max(2, kind.get("minimum", 2))
            broken = any(other.get("type") == "number" for other in _options(adapter))
            bad = [str(good), *([] if broken else [good + 0.5, math.inf, math.nan])]
            bad += [1e300] if "maximum" in kind else []
            if not accepts(adapter, float(good)) or accepts(adapter, *bad):
                wrong.append(name)

    assert wrong == []


def test_a_boolean_is_no_integer() -> None:
    wrong = []
    for name, adapter in fields().items():
        types = {kind.get("type") for kind in _options(adapter)}
        if "integer" in types and "boolean" not in types and accepts(adapter, True, False):
            wrong.append(name)

    assert wrong == []


def test_both_laws_are_about_all_schedules_and_jobs() -> None:
    known = {cls for cls in models()}

    assert {*SCHEDULES.values(), CurveRequest, CompareRequest, ExperimentSpec} <= known
    assert {lrcore.jobs.range_test.RangeTestSpec, lrserve.api.routes.translate.TranslationRequest} <= known
    assert len(fields()) > 400


@pytest.mark.parametrize("name", [*NO_SHARES, *SHARES])
def test_lengths_in_steps_take_shares_and_nothing_else_does(name: str) -> None:
    cls = SCHEDULES[name]
    schema = cls.model_json_schema()
    properties = schema.get("$defs", {}).get(cls.__name__, schema)["properties"]
    says = {field for field, kind in properties.items() if says_share(kind)}

    assert says >= set(SHARES.get(name, ()))
    assert not says & set(NO_SHARES.get(name, ()))


@pytest.mark.parametrize(
    ("share", "steps", "expected"),
    [
        ("5%", 50, 3),
        ("3%", 1111, 34),
        ("5%", 10, 1),
        ("7%", 100, 7),  # 0.07 * 100 is 7.000000000000001
        ("0.000000000000001%", 1, 1),
        ("0%", 100, 0),
        ("100%", 10**15, 10**15),
        ("33.3%", 3000, 999),
        ("2.5ep", 30, 25),
        ("0.01ep", 30, 1),
    ],
)
def test_a_share_is_rounded_up(share: str, steps: int, expected: int) -> None:
    with SharesOf(RunLength(steps, 10)):
        assert STEPS.validate_python(share) == expected


@laws(300)
@given(st.from_regex(r"\A[0-9]{1,15}(\.[0-9]{1,15})?(%|ep)\Z"), st.integers(1, MAX_STEP))
def test_a_share_is_its_ceiling_computed_exactly(share: str, steps: int) -> None:
    exact = Fraction(share.rstrip("%ep")) * steps / (100 if share.endswith("%") else 1)

    with SharesOf(RunLength(steps, steps)):
        if math.ceil(exact) > MAX_STEP:
            with pytest.raises(ValidationError, match="less than or equal to"):
                STEPS.validate_python(share)
        else:
            assert STEPS.validate_python(share) == math.ceil(exact)
            assert (STEPS.validate_python(share) == 0) is (exact == 0)


@pytest.mark.parametrize(("percent", "steps"), [("5", 50), ("3", 1111), ("5", 10), ("6", 700), ("12.5", 97)])
def test_a_share_of_the_run_is_what_transformers_makes_of_a_warmup_ratio(percent: str, steps: int) -> None:
    from transformers import TrainingArguments

    own: Any = SimpleNamespace(warmup_steps=float(percent) / 100)
    theirs = TrainingArguments.get_warmup_steps(own, steps)

    with SharesOf(RunLength(steps)):
        assert STEPS.validate_python(f"{percent}%") == theirs


def test_a_share_needs_what_it_is_a_share_of() -> None:
    with pytest.raises(ValidationError, match="the length 10% needs total_steps"):
        STEPS.validate_python("10%")
    with SharesOf(RunLength(100)), pytest.raises(ValidationError, match="the length 5ep needs steps_per_epoch"):
        STEPS.validate_python("5ep")
    with SharesOf(RUN):
        assert STEPS.validate_python("5ep") == 50
    with pytest.raises(ValidationError, match="needs"):
        STEPS.validate_python("5ep")


def test_keys_of_an_object_are_steps_or_shares_and_no_two_the_same() -> None:
    by_step: TypeAdapter[dict[int, float]] = TypeAdapter(RatesByStep)

    with SharesOf(RUN):
        assert by_step.validate_python({"0": 0.1, "25%": 0.2, "5ep": 0.3, "75": 0.4}) == {
            0: 0.1,
            25: 0.2,
            50: 0.3,
            75: 0.4,
        }
        for same in ({"50": 0.1, "50%": 0.2}, {"5": 0.1, "05": 0.2}):
            with pytest.raises(ValidationError, match="two of the keys are the same step"):
                by_step.validate_python(same)
        for key in ("x", "-1", "1.5", "10 %", "", "1e3", "９"):
            with pytest.raises(ValidationError):
                by_step.validate_python({key: 0.1})


def test_a_part_of_a_part_takes_SharesOf_the_whole_run() -> None:
    spec = {
        "type": "paddle.LinearWarmup",
        "warmup_steps": "10%",
        "start_lr": 0,
        "end_lr": 0.1,
        "learning_rate": {
            "type": "SequentialLR",
            "milestones": ["2ep"],
            "schedulers": [{"type": "optax.join_schedules", "schedules": [
                {"type": "optax.constant_schedule", "value": 0.1}, {"type": "StepLR", "step_size": "3%"}
            ], "boundaries": ["15%"]}, {"type": "manual", "values": {"0": 0.1, "50%": 0.2}}],
        },
    }  # fmt: skip
    request = CurveRequest.model_validate_json(
        json.dumps({"schedule": spec, "base_lr": 0.1, "steps": 40, "steps_per_epoch": 8})
    )

    whole: Any = request.schedule
    inside = whole.schedulers[1]
    assert (whole.milestones, inside.milestones) == ((4,), (16,))
    assert inside.schedulers[0].milestones == (6,)
    assert inside.schedulers[0].schedulers[1].step_size == 2
    assert inside.schedulers[1].values == {0: 0.1, 20: 0.2}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (10.5, "valid integer"),
        (True, "valid integer"),
        ("10", "valid integer"),
        (None, "valid integer"),
        (math.inf, "valid integer"),
        (1e300, "less than or equal to 1000000000000000"),
        (-1e300, "greater than or equal to 1"),
    ],
)
def test_what_is_no_number_of_steps_is_refused(value: Any, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        TypeAdapter(StepCount).validate_python(value)


def test_a_whole_number_written_with_a_point_is_that_integer() -> None:
    found: Any = parse({"type": "CosineAnnealingLR", "T_max": 10.0, "last_epoch": -1.0})

    assert (found.T_max, type(found.T_max), type(found.last_epoch)) == (10, int, int)
    body = '{"schedule": {"type": "StepLR", "step_size": 5.0}, "base_lr": 1, "steps": 2e1}'
    assert CurveRequest.model_validate_json(body) == CurveRequest.model_validate_json(
        body.replace("5.0", "5").replace("2e1", "20")
    )
