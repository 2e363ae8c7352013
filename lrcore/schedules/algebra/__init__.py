"""Schedules around a schedule: warm-up, repetition, scaling, bounds, shift. compose.py has sequence and product."""

from __future__ import annotations

from lrcore.schedules.algebra.noise import Noise
from lrcore.schedules.algebra.repeat import Repeat
from lrcore.schedules.algebra.transforms import BaseLR, Clamp, Scale, Shift
from lrcore.schedules.algebra.warm_up import WarmUp

__all__ = ["BaseLR", "Clamp", "Noise", "Repeat", "Scale", "Shift", "WarmUp"]
