"""The fit model as the rest of the program uses it: one estimate, or the choice among all recipes."""

from __future__ import annotations

from edgellm.devices.auto import choose, fit_table
from edgellm.devices.choice import DEFAULT_MIN_SPEED, Choice, FitRequest, FitRow
from edgellm.devices.estimate import Estimate, Verdict, estimate, verdict_of
from edgellm.devices.explain import format_speed
from edgellm.devices.memory import PredictedMemory
from edgellm.devices.settings import RunSettings
from edgellm.devices.speed import SpeedRange

__all__ = [
    "DEFAULT_MIN_SPEED",
    "Choice",
    "Estimate",
    "FitRequest",
    "FitRow",
    "PredictedMemory",
    "RunSettings",
    "SpeedRange",
    "Verdict",
    "choose",
    "estimate",
    "fit_table",
    "format_speed",
    "verdict_of",
]
