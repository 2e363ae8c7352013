"""Configurations with something changed: each reads to a schedule or is refused with the path of the field."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import pytest

from lrcore.configs import FRAMEWORKS, Reading, read
from lrcore.errors import CurveError
from tests.examples import examples
from tests.lrcore.configs.test_vectors import VECTORS

NAMES = {"base_lr", "total_steps", "steps_per_epoch"}
VALUES: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2,
        7,
        0.5,
        -0.5,
        1.5,
        1e-300,
        1e300,
        10**15,
        10**18,
        10**30,
        float("nan"),
        float("inf"),
    ),
    *("", "x", "auto", "0.1", "10%", "5ep", "1dur", "100ba", "10tok", "cosine", "linear", "${lr}", "\x00", "é" * 300),
    *([], {}, [0], [[]], [1, "x"], {"type": "x"}, {"": 0}, [1e-300, 1e300], list(range(50))),
]
SEEDS = examples(10_000)


def places(config: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = config.items() if isinstance(config, dict) else enumerate(config) if isinstance(config, list) else ()
    return [path] * bool(path) + [inner for key, value in items for inner in places(value, (*path, key))]


def mutated(config: Any, draw: random.Random) -> Any:
    config = copy.deepcopy(config)
    for _ in range(draw.randint(1, 3)):
        found = places(config)
        if not found:
            return copy.deepcopy(draw.choice(VALUES))
        *outer, key = draw.choice(found)
        parent = config
        for name in outer:
            parent = parent[name]
        match draw.randrange(4):
            case 0:
                del parent[key]
            case 1 if isinstance(parent, dict):
                parent[draw.choice(["surplus", "type", str(key) + "s", "min_lr", "last_epoch"])] = copy.deepcopy(
                    draw.choice(VALUES)
                )
            case 2 if isinstance(parent[key], int | float):
                parent[key] = parent[key] * draw.choice([-1, 0, 1e-6, 0.5, 3, 1e9])
            case _:
                parent[key] = copy.deepcopy(draw.choice(VALUES))
    return config


def leads_somewhere(path: tuple[Any, ...], config: Any, message: str) -> bool:
    """Whether all of a path but its last name is in a configuration, or what is missing would be further inside."""
    for part in path[:-1]:
        try:
            config = config[part]
        except (KeyError, IndexError, TypeError):
            return "Field required" in message
    return True


def outcome(framework: Any, config: Any, given: dict[str, Any]) -> Reading | CurveError:
    try:
        return read(framework, config, **given)
    except CurveError as error:
        return error


@pytest.mark.parametrize("part", range(4))
def test_a_changed_configuration_is_read_or_refused_with_its_field(part: int) -> None:
    kinds = set()
    for seed in range(part, SEEDS, 4):
        draw = random.Random(seed)
        framework, vector = draw.choice(VECTORS).values
        config = mutated(json.loads(vector["config"]), draw)
        given = {name: vector[name] for name in sorted(NAMES & vector.keys()) if draw.random() < 0.9}

        found = outcome(framework, config, given)

        kinds.add(type(found).__base__)
        if isinstance(found, Reading):
            assert json.dumps(vars(found), allow_nan=False), (framework, config)
        else:
            field = found.field
            assert field[:1] == ("config",) or (field in {(name,) for name in NAMES}), (framework, config, field)
            assert leads_somewhere(field[1:], config, str(found)), (framework, config, field, str(found))
            assert str(found)
    assert len(kinds) > 1


def test_every_framework_is_changed() -> None:
    assert {framework for framework, _ in (param.values for param in VECTORS)} == set(FRAMEWORKS)
