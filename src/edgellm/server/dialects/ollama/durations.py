"""Durations as Ollama's clients write them."""

from __future__ import annotations

import math

from edgellm.errors import UsageError
from edgellm.units import parse_duration_s

__all__ = ["FOREVER_S", "parse_keep_alive"]

FOREVER_S = -1.0


def parse_keep_alive(value: str | float | None) -> float | None:
    """Seconds of ``keep_alive``: ``"5m"``, ``"1h30m"``, or a number of seconds; below 0 is for ever (FOREVER_S).

    None leaves it to the server. Raises UsageError.
    """
    if value is None or value == "":
        return None
    try:
        seconds = parse_duration_s(value) if isinstance(value, str) else float(value)
    except UsageError as error:
        raise UsageError(f"keep_alive: {error.message}", hint=error.hint) from error
    if math.isnan(seconds):
        raise UsageError("keep_alive is not a number")
    return FOREVER_S if seconds < 0 or math.isinf(seconds) else seconds
