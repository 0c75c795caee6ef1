"""Text of others that a terminal is to show."""

from __future__ import annotations

__all__ = ["printable"]

_CONTROLS = {code: None for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def printable(text: str) -> str:
    """``text`` without control characters but line ends and tabs: what others wrote must not steer a terminal."""
    return text.translate(_CONTROLS)
