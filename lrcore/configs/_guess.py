"""Detect the framework of a configuration."""

from __future__ import annotations

import importlib
from typing import Any, Literal, get_args

from lrcore.configs._base import Needed, Path
from lrcore.errors import CurveError

# the most telling first: what fits several is taken for the first of them
Framework = Literal[
    "mmengine", "deepspeed", "detectron2", "darknet", "nemo", "composer", "olmo", "keras", "paddle", "fairseq",
    "lightning", "megatron", "timm", "transformers", "torch",
]  # fmt: skip
FRAMEWORKS: tuple[Framework, ...] = get_args(Framework)


def guess(config: Any) -> tuple[Framework, Path]:
    """Return the framework of a configuration, and where in it that is which looks like the framework's.

    That is the whole, or else the only value in it that does: a script names its schedulers as it likes.

    Raises:
        Needed: it looks like none that is known.
        CurveError: several values look like one.
    """
    framework = _of(config)
    if framework is not None:
        return framework, ()
    parts = config.items() if isinstance(config, dict) else ()
    found = [(framework, (name,)) for name, value in parts if (framework := _of(value)) is not None]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(str(name)[:80] for _, (name,) in found[:10])
        raise CurveError((), f"several parts of it have a schedule, {names}: give one of them alone")
    raise Needed(("from",), f"unknown configuration: give its framework, one of {', '.join(sorted(FRAMEWORKS))}")


def _of(config: Any) -> Framework | None:
    return next((each for each in FRAMEWORKS if importlib.import_module(f"lrcore.configs.{each}").fits(config)), None)
