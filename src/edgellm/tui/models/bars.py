"""Bars and curves of block letters, one line high."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["bar", "curve"]

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_HEIGHTS = "▁▂▃▄▅▆▇█"


def bar(share: float, width: int) -> str:
    """``width`` cells, filled from the left by ``share`` (0 to 1), to an eighth of a cell."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(width)


def curve(values: Sequence[float | None], width: int, top: float | None = None) -> str:
    """The last ``width`` values, the newest at the right end; gaps where nothing is known.

    ``top`` is the value of a full cell; without it the largest value shown. What is above 0 is never drawn as nothing.
    """
    shown = values[-width:]
    highest = top if top is not None else max((value for value in shown if value is not None), default=0.0)
    return "".join(_cell(value, highest) for value in shown).rjust(width)


def _cell(value: float | None, highest: float) -> str:
    if value is None or value <= 0 or highest <= 0:
        return " " if value is None else _HEIGHTS[0]
    return _HEIGHTS[min(7, max(1, int(8 * min(1.0, value / highest) - 1e-9)))]
