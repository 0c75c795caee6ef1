"""Sizes and numbers as people write and read them."""

from __future__ import annotations

import re

from edgellm.errors import UsageError

__all__ = ["format_bytes", "format_count", "format_duration", "parse_bytes", "parse_duration_s"]

_SUFFIXES = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?I?)B?", re.IGNORECASE)
_LIMIT_BYTES = 2**60
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|us|µs|ns|h|m|s))+")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|h|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_LIMIT_S = 1e9  # thirty years


def parse_bytes(text: str) -> int:
    """Read ``4GiB``, ``512M`` or ``1073741824``; returns bytes.

    K, M, G, T are powers of 1000; Ki, Mi, Gi, Ti powers of 1024. Raises UsageError.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a size", hint="write it like 4GiB, 512MiB or 8GB")
    value = float(match.group(1)) * _SUFFIXES[match.group(2).upper()]
    if not 0 < value <= _LIMIT_BYTES:
        raise UsageError(f"the size {text!r} is out of range", hint="write it like 4GiB, 512MiB or 8GB")
    return round(value)


def format_bytes(size_bytes: float) -> str:
    """Write a size with a binary unit: ``512 MiB``, ``3.4 GiB``."""
    value, unit = float(size_bytes), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if abs(value) < 1024:
            break
        value, unit = value / 1024, larger
    if unit == "B" or abs(value) >= 100:
        return f"{value:.0f} {unit}"
    return f"{value:.1f} {unit}"


def format_count(count: int) -> str:
    """Write a parameter count the way model cards do: ``8.4M``, ``1.2B``."""
    for limit, letter in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "K")):
        if count >= limit:
            value = count / limit
            return f"{value:.0f}{letter}" if value >= 100 else f"{value:.1f}{letter}"
    return str(count)


def format_duration(seconds: float) -> str:
    """Write a duration: ``0.8 s``, ``42 s``, ``3:05 min``, ``1:02 h``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"


def parse_duration_s(text: str) -> float:
    """Read ``5m``, ``1h30m``, ``90s``, ``1.5h`` or a plain number of seconds; below 0 too. Raises UsageError."""
    plain = text.strip()
    sign, plain = (-1.0, plain[1:]) if plain.startswith("-") else (1.0, plain)
    if re.fullmatch(r"\d+(?:\.\d+)?", plain):
        seconds = float(plain)
    elif _DURATION.fullmatch(plain):
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(plain))
    else:
        raise UsageError(f"{text[:80]!r} is not a duration", hint="write it like 5m, 1h30m, 90s, or in seconds")
    if seconds > _LIMIT_S:
        raise UsageError(f"the duration {text[:80]!r} is out of range", hint="-1 stands for ever")
    return sign * seconds
