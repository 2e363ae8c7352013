"""YAML without anchors, tags and keys that come twice; 1e-4 is a number, and dates are texts."""

from __future__ import annotations

import re
from typing import Any

import yaml

NUMBER = re.compile(r"[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)([eE][-+]?\d+)?$")


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # yaml has no types
    depth = 0
    most = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise ValueError(f"line {event.start_mark.line + 1}: anchors and aliases are not read: write the value out")
        self.depth += 1
        if self.depth > self.most + 1:
            raise ValueError(f"it nests too deep; {self.most} levels are read")
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        found: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float) or key in found:
                what = "comes twice" if isinstance(key, str | int | float) else "is no text"
                raise ValueError(f"line {key_node.start_mark.line + 1}: the key {str(key)[:80]!r} {what}")
            found[key] = self.construct_object(value_node, deep=deep)
        return found


# YAML 1.1 takes 1e-4 for a text, and 2026-01-01 for a date
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":float"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", NUMBER, list("-+.0123456789"))


def load(text: str, depth: int) -> Any:
    """Return the only document of a text, with names as keys. Raises ValueError."""
    try:
        loader = _Loader(text)
        loader.most = depth
        return _named(loader.get_single_data())
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark is not None else ""
        raise ValueError(f"{where}this is not YAML that is read: {getattr(error, 'problem', None) or error}") from None


def _named(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _named(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_named(each) for each in value]
    return value
