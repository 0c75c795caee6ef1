"""Gauges, cores, curves and models as text with styles, as wide as there is room for."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from edgellm.tui.models.bars import bar, curve
from edgellm.tui.models.gauge_rows import GaugeRow
from edgellm.tui.models.memory_rows import MemoryRow
from edgellm.tui.models.rates import ActivityHistory, Rates
from edgellm.tui.models.text import NOBODY_KNOWS, Tone, shortened
from edgellm.tui.widgets.tones import toned

__all__ = ["cores_content", "curves_content", "gauges_content", "models_content"]

_NAME_WIDTH = 12
_TEXT_WIDTH = 28
_CORE_WIDTH = 9  # of "12 ██▌   " with its number, bar and space
_CURVE_TEXT_WIDTH = 24
_BUSY, _VERY_BUSY = 0.7, 0.9


def gauges_content(rows: Sequence[GaugeRow], width: int) -> Content:
    """A line for each: name, bar where it has a share, text."""
    bar_width = max(8, width - _NAME_WIDTH - _TEXT_WIDTH)
    lines = []
    for row in rows:
        name = toned(row.name.ljust(_NAME_WIDTH), "quiet")
        if row.share is None:
            lines.append(Content.assemble(name, toned(row.text, row.tone)))
        else:
            filled = toned(bar(row.share, bar_width), row.tone if row.tone != "plain" else "busy").stylize("on $panel")
            lines.append(Content.assemble(name, filled, " ", toned(row.text, "plain")))
    return Content("\n").join(lines)


def cores_content(cores: Sequence[tuple[int, float]], width: int) -> Content:
    """The load of each core, several on a line."""
    if not cores:
        return Content.assemble(toned("Cores".ljust(_NAME_WIDTH), "quiet"), NOBODY_KNOWS)
    per_line = max(1, (width - _NAME_WIDTH) // _CORE_WIDTH)
    lines = []
    for start in range(0, len(cores), per_line):
        parts: list[Content | str] = [toned(("Cores" if start == 0 else "").ljust(_NAME_WIDTH), "quiet")]
        for number, share in cores[start : start + per_line]:
            tone: Tone = "bad" if share >= _VERY_BUSY else "warning" if share >= _BUSY else "good"
            parts += [toned(f"{number:>2} ", "quiet"), toned(bar(share, 5), tone).stylize("on $panel"), " "]
        lines.append(Content.assemble(*parts))
    return Content("\n").join(lines)


def curves_content(history: ActivityHistory, rates: Rates | None, width: int) -> Content:
    """Tokens per second and the queue over the last minutes, a moment in each cell."""
    cells = max(10, width - _NAME_WIDTH - _CURVE_TEXT_WIDTH)
    decoded = None if rates is None else rates.decoded_per_s
    prefilled = None if rates is None else rates.prefilled_per_s
    queue = "" if rates is None else f"{rates.running} running, {rates.waiting} waiting"
    lines = [
        _curve("Decode", history.decoded, _per_s(decoded), cells, "good"),
        _curve("Prefill", history.prefilled, _per_s(prefilled), cells, "busy"),
        _curve("Queue", history.queued, queue or NOBODY_KNOWS, cells, "warning"),
    ]
    return Content("\n").join(lines)


def models_content(rows: Sequence[MemoryRow], width: int) -> Content:
    """A table of the models in memory."""
    if not rows:
        return toned("No model is in memory. One is loaded when somebody asks it.", "quiet")
    widths = (14, 13, 10, 9, 8, 11)
    titles = ("STATE", "NOW", "AT MOST", "REQUESTS", "TOKENS/S", "STAYS")
    shown = len(titles) if width >= 91 else 4 if width >= 69 else 3
    name_width = max(12, width - sum(widths[:shown]) - shown)
    lines = [toned("MODEL".ljust(name_width) + _row(titles[:shown], widths), "quiet")]
    for row in rows:
        cells = (row.state, row.used, row.needed, row.requests, row.speed, row.stays)[:shown]
        state, *others = [cell.rjust(size) for cell, size in zip(cells, widths, strict=False)]
        name = shortened(row.name, name_width).ljust(name_width)
        lines.append(Content.assemble(name, " ", toned(state, row.tone), "".join(f" {other}" for other in others)))
    return Content("\n").join(lines)


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "".join(f" {cell:>{size}}" for cell, size in zip(cells, widths, strict=False))


def _curve(name: str, values: Sequence[float | None], text: str, cells: int, tone: Tone) -> Content:
    return Content.assemble(
        toned(name.ljust(_NAME_WIDTH), "quiet"), toned(curve(values, cells), tone).stylize("on $panel"), " ", text
    )


def _per_s(rate: float | None) -> str:
    return NOBODY_KNOWS if rate is None else f"{rate:.1f} tokens/s"
