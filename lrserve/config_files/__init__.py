"""Configurations of frameworks in files: JSON, YAML, TOML, Python, darknet's cfg and flags. Nothing is executed."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lrcore import unique_keys
from lrserve.config_files.python_literals import assigned

MAX_BYTES = 2**20
MAX_DEPTH = 32
FLAG = re.compile(r"(^|\s)--[a-zA-Z]")
SECTION = re.compile(r"\s*\[\w+\]\s*(#.*|;.*)?$")


class ConfigFileError(ValueError):
    """A file is no configuration that can be read. The message names the way out."""


def read_config(path: str) -> Any:
    """The configuration in a file, as JSON; the text itself where that is a command line.

    Args:
        path: of the file, whose suffix says what it is; - is standard input.

    Raises:
        ConfigFileError: the file cannot be read, is larger than a mebibyte or nests too deep.
    """
    try:
        with sys.stdin.buffer if path == "-" else Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigFileError(f"{path}: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise ConfigFileError(
            f"{path} is larger than {MAX_BYTES:,} bytes: leave out what is not about the learning rate"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigFileError(f"{path} is no text: it is no UTF-8") from None
    kind = Path(path).suffix.lower()
    try:
        return PARSERS.get(kind, _sniffed)(text)
    except ConfigFileError as error:
        raise ConfigFileError(f"{path}: {error}") from None
    except (RecursionError, MemoryError):
        raise ConfigFileError(f"{path}: it nests too deep; {MAX_DEPTH} levels are read") from None
    except ValueError as error:
        raise ConfigFileError(f"{path}: {str(error)[:300]}") from None


def _sniffed(text: str) -> Any:
    """A text whose format is not told by a name."""
    start = text.lstrip()
    if start.startswith("{") or (start.startswith("[") and not SECTION.match(start.splitlines()[0])):
        return _json(text)
    if start.startswith("["):
        return _cfg(text)
    if FLAG.search(text) and not re.match(r"\w+\s*[:=]", start):
        return text
    return _yaml(text)


def _json(text: str) -> Any:
    unique_keys.check(text)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigFileError(f"this is not JSON: {error}") from None


def _yaml(text: str) -> Any:
    try:
        from lrserve.config_files.safe_yaml import load
    except ModuleNotFoundError:
        raise ConfigFileError("YAML is read by PyYAML: pip install pyyaml, or give the file as JSON") from None
    return load(text, MAX_DEPTH)


def _cfg(text: str) -> dict[str, Any]:
    """Sections of key = value; of sections of one name, such as darknet's layers, the first."""
    found: dict[str, Any] = {}
    section: dict[str, Any] = {}
    for line in text.splitlines():
        line = re.split(r"[#;]", line, maxsplit=1)[0].strip()
        if line.startswith("[") and line.endswith("]"):
            section = {}
            found.setdefault(line[1:-1].strip(), section)
        elif "=" in line:
            name, _, value = line.partition("=")
            section[name.strip()] = _number(value.strip())
    return found


def _number(value: str) -> Any:
    if len(value) <= 40:
        for number in (int, float):
            try:
                return number(value)
            except ValueError:
                continue
    return value


PARSERS: dict[str, Callable[[str], Any]] = {
    ".json": _json,
    ".yaml": _yaml,
    ".yml": _yaml,
    ".toml": tomllib.loads,
    ".py": assigned,
    ".cfg": _cfg,
    ".sh": str,
    ".txt": str,
}
