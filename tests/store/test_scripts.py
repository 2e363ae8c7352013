"""The store's scripts as text: one a file, with named arguments, and with nothing included that is not used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from redis import Redis

from lrcore.jobs.states import MOVES, State
from lrcore.store.client import ClientStore
from lrcore.store.lease import LeaseStore
from lrcore.store.operator import OperatorStore
from lrcore.store.scripts import INCLUDE, LUA, names, source

ROOT = Path(__file__).parents[2]
FILES = sorted(LUA.rglob("*.lua"))
DEFINED = re.compile(r"^local (?:function )?(\w+)|^(\w+) = function", re.MULTILINE)
NAMED = re.compile(r"local ([\w, ]+) = (?:unpack\(ARGV, 2, (\d+)\)|ARGV\[2\]|tonumber\(ARGV\[2\]\))")
REST = re.compile(r"local \w+ = arguments_from\((\d+)\)")


def file_id(path: Path) -> str:
    return str(path.relative_to(LUA))


@pytest.mark.parametrize("name", names())
def test_a_script_begins_with_what_it_does_and_names_its_arguments(name: str) -> None:
    text = (LUA / f"{name}.lua").read_text()
    assert re.match(r"-- [A-Z][^\n]+\n", text)
    lines = [line for line in text.splitlines() if "ARGV" in line or "arguments_from" in line]

    last = 1
    for line in lines:
        if found := NAMED.fullmatch(line):
            last = int(found[2] or 2)
            assert len(found[1].split(", ")) == last - 1
        else:
            found = REST.fullmatch(line)
            assert found, f"an argument has no name: {line}"
            assert int(found[1]) == last + 1
    assert len(lines) <= 2


@pytest.mark.parametrize("path", FILES, ids=file_id)
def test_what_a_file_includes_it_uses(path: Path) -> None:
    text = path.read_text()
    for part in INCLUDE.findall(text):
        defined = {one or other for one, other in DEFINED.findall((LUA / "common" / f"{part}.lua").read_text())}
        assert any(re.search(rf"\b{name}\b", INCLUDE.sub("", text)) for name in defined), f"{part} is not used"


def test_each_part_is_included_once() -> None:
    for name in names():
        defined = [one or other for one, other in DEFINED.findall(source(name)) if one != "settle"]
        twice = {each for each in defined if defined.count(each) > 1}
        assert not twice, f"{name} defines {', '.join(twice)} twice"


def test_redis_reads_every_script(redis: Redis) -> None:
    for name in names():
        redis.script_load(source(name))


def test_the_moves_are_those_of_the_states() -> None:
    text = (LUA / "common" / "states.lua").read_text()
    legal = {tuple(move.split(">")) for move in re.findall(r"\['([a-z]+>[a-z]+)'\] = true", text)}
    ended = re.search(r"function ended\(state\)(.*)end", text)

    assert legal == {(str(before), str(after)) for before, afters in MOVES.items() for after in afters}
    assert ended
    assert set(re.findall(r"'(\w+)'", ended[1])) == {str(state) for state in State if state.ended}
    listed = re.search(r"ipairs\(\{([^}]*)\}\)", (LUA / "service_stats.lua").read_text())
    assert listed
    assert re.findall(r"'(\w+)'", listed[1]) == [str(state) for state in State]


def test_there_is_no_lua_in_python() -> None:
    for folder in ("lrcore", "api", "worker", "lrserve"):
        found = [str(path) for path in (ROOT / folder).rglob("*.py") if "redis.call(" in path.read_text()]
        assert found == []


@pytest.mark.parametrize("role", [ClientStore, LeaseStore, OperatorStore])
def test_no_role_has_more_than_twenty_methods(role: type) -> None:
    own = [name for name, value in vars(role).items() if callable(value)]
    inherited = [name for name in dir(role) if not name.startswith("_")]
    print(f"{role.__name__}: {len(own)} of its own, {len(inherited)} public ones")

    assert len(own) <= 20
    assert len(inherited) <= 25


def test_no_role_can_do_what_another_one_does() -> None:
    def public(role: type) -> set[str]:
        return {name for name in vars(role) if not name.startswith("_")}

    assert public(ClientStore).isdisjoint(public(LeaseStore) | public(OperatorStore))
    assert public(LeaseStore).isdisjoint(public(OperatorStore))
