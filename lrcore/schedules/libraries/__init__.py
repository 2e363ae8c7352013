"""Schedules that one library alone has, by its names and arguments: darknet, icefall and OLMo-core."""

from __future__ import annotations

from lrcore.schedules.libraries.darknet import DarknetSteps
from lrcore.schedules.libraries.icefall import Eden
from lrcore.schedules.libraries.olmo import WSDS, PowerLR

__all__ = ["WSDS", "DarknetSteps", "Eden", "PowerLR"]
