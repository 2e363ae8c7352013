"""A key that comes twice in an object of JSON."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrcore.unique_keys import DuplicateKey, check
from tests.lrcore.strategies import laws

TWICE: dict[str, tuple[Any, ...]] = {
    '{"a": 1, "a": 2}': ("a",),
    '{"a": 1, "b": {"c": [0, {"d": 1, "e": 2, "d": 1}]}}': ("b", "c", 1, "d"),
    '[{"a": 1}, {"a": 1, "a": 1}]': (1, "a"),
    '{"a": {"x": 1, "x": 2}, "a": 3}': ("a",),
    r'{"a": 1, "\u0061": 2}': ("a",),
    '{"": 1, "": 2}': ("",),
    '{"a": NaN, "a": 1e999}': ("a",),
}
ONCE = [
    '{"a": {"a": {"a": 1}}, "b": [{"a": 1}, {"a": 1}]}',
    r'{"text": "\"a\": 1, \"a\": 2"}',
    '{"lr_lambda": "lambda a: {a: 1, a: 2}"}',
    '{"a": 1, "A": 2, "a ": 3}',
    "{}",
    "[]",
    '"a"',
    f'{{"a": {"9" * 10_000}}}',
]
NOT_JSON = ["", "{", '{"a": 1, "a"', "[" * 100_000, "[" * 50_000 + "]" * 50_000, b'{"a\xff": 1}', "lambda x: 1"]


@pytest.mark.parametrize("text", TWICE)
@pytest.mark.parametrize("encoding", [None, "utf-8", "utf-8-sig", "utf-16"])
def test_a_key_that_comes_twice_is_named_with_its_place(text: str, encoding: str | None) -> None:
    with pytest.raises(DuplicateKey, match="comes twice: leave out one of the two") as found:
        check(text if encoding is None else text.encode(encoding))

    assert found.value.path == TWICE[text]


@pytest.mark.parametrize("text", [*ONCE, *NOT_JSON], ids=lambda text: repr(text[:30]))
def test_what_has_no_key_twice_passes(text: str | bytes) -> None:
    check(text)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inside: (
        st.lists(inside, max_size=3) | st.lists(st.tuples(st.sampled_from("abc"), inside), max_size=3).map(tuple)
    ),
    max_leaves=12,
)


def written(value: Any) -> tuple[str, bool]:
    """JSON of lists and of tuples of pairs, which are objects; and whether one of these has a key twice."""
    if not isinstance(value, list | tuple):
        return json.dumps(value), False
    inside = [written(each[1] if isinstance(value, tuple) else each) for each in value]
    found = any(twice for _, twice in inside)
    if isinstance(value, list):
        return f"[{', '.join(text for text, _ in inside)}]", found
    keys = [key for key, _ in value]
    pairs = (f'"{key}": {text}' for key, (text, _) in zip(keys, inside, strict=True))
    return f"{{{', '.join(pairs)}}}", found or len(set(keys)) < len(keys)


@laws(200)
@given(value=values)
def test_it_is_found_in_any_json(value: Any) -> None:
    text, twice = written(value)
    try:
        check(text)
    except DuplicateKey:
        assert twice
    else:
        assert not twice


def test_a_large_body_is_looked_through_in_the_time_of_a_few_readings() -> None:
    text = '{"metrics": [' + "0.1234567, " * 350_000 + '{"a": 1, "a": 2}]}'
    began = time.process_time()
    json.loads(text)
    read = time.process_time() - began

    began = time.process_time()
    with pytest.raises(DuplicateKey) as found:
        check(text.encode())
    assert found.value.path == ("metrics", 350_000, "a")

    assert time.process_time() - began < 5 * read + 0.1
