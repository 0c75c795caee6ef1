"""Durations as Ollama's clients write them."""

from __future__ import annotations

import math
import re

from edgellm.errors import UsageError

__all__ = ["FOREVER_S", "parse_keep_alive"]

FOREVER_S = -1.0
_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_LONGEST_TEXT = 64


def parse_keep_alive(value: str | float | None) -> float | None:
    """Seconds of ``keep_alive``: ``"5m"``, ``"1h30m"``, or a number of seconds; below 0 is for ever (FOREVER_S).

    None leaves it to the server. Raises UsageError.
    """
    if value is None or value == "":
        return None
    seconds = _parse_text(value) if isinstance(value, str) else float(value)
    if math.isnan(seconds):
        raise UsageError("keep_alive is not a number")
    return FOREVER_S if seconds < 0 or math.isinf(seconds) else seconds


def _parse_text(text: str) -> float:
    """Go's time.ParseDuration, and plain numbers of seconds."""
    wrong = UsageError(
        f"keep_alive is {text[:_LONGEST_TEXT]!r}, which is no duration",
        hint='write it like "5m", "1h30m" or 300 (seconds); -1 keeps the model loaded, 0 unloads it',
    )
    if len(text) > _LONGEST_TEXT:
        raise wrong
    try:
        return float(text)
    except ValueError:
        pass
    sign = -1.0 if text.startswith("-") else 1.0
    rest, total = text.lstrip("+-"), 0.0
    if not rest or len(text) - len(rest) > 1:
        raise wrong
    while rest:
        match = _PART.match(rest)
        if match is None:
            raise wrong
        total += float(match[1]) * _UNITS_S[match[2]]
        rest = rest[match.end() :]
    return sign * total
