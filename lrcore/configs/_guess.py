"""Detect the framework of a configuration."""

from __future__ import annotations

import importlib
from typing import Any

from lrcore.errors import CurveError

# the most telling first: what fits several is taken for the first of them
ORDER = (
    *("mmengine", "deepspeed", "detectron2", "darknet", "nemo", "composer", "olmo", "keras", "paddle", "fairseq"),
    *("lightning", "megatron", "timm", "transformers", "torch"),
)


def guess(config: Any) -> tuple[str, Any]:
    """Return the framework of a configuration, and the part of it that looks like the framework's.

    That is the whole, or else the only value in it that does: a script names its schedulers as it likes.

    Raises:
        CurveError: it looks like none that is known, or several values do.
    """
    framework = _of(config)
    if framework is not None:
        return framework, config
    parts = config.items() if isinstance(config, dict) else ()
    found = [(name, framework, value) for name, value in parts if (framework := _of(value)) is not None]
    if len(found) == 1:
        return found[0][1], found[0][2]
    if found:
        names = ", ".join(str(name)[:80] for name, _, _ in found[:10])
        raise CurveError((), f"several parts of it have a schedule, {names}: give one of them alone")
    raise CurveError(("from",), f"unknown configuration: give its framework, one of {', '.join(sorted(ORDER))}")


def _of(config: Any) -> str | None:
    return next((each for each in ORDER if importlib.import_module(f"lrcore.configs.{each}").fits(config)), None)
