"""A run as a picture: bars on a logarithmic axis, plain SVG that reads on light and dark pages."""

from __future__ import annotations

import math
from html import escape
from pathlib import Path
from typing import NamedTuple

from sampling_tables import best_us, contender_names
from sampling_targets import Times

__all__ = ["draw"]

_WIDTH, _LEFT, _RIGHT, _TOP = 860, 200, 90, 104
_BAR, _GAP = 13, 12
_COLOURS = {"llama.cpp": "#c2571a", "numpy": "#7a7f87", "torch": "#b0a04a"}
_OURS = ("#0b5cad", "#3f8fdc", "#8dbdec")
_FONT = "font-family='system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif'"


class _Group(NamedTuple):
    label: str
    chain: str
    kind: str


_GROUPS = (
    _Group("greedy", "greedy", "peaked"),
    _Group("default chain", "default", "peaked"),
    _Group("default, penalties", "default with penalties", "peaked"),
    _Group("temperature only", "temperature", "peaked"),
    _Group("min-p", "min-p", "peaked"),
    _Group("top-p", "top-p", "peaked"),
    _Group("top-p, flat logits", "top-p", "flat"),
    _Group("typical", "typical", "peaked"),
    _Group("typical, flat logits", "typical", "flat"),
    _Group("20 log-probabilities", "greedy, 20 log-probabilities", "peaked"),
)


def draw(cases: dict[str, Times], n_vocab: int, cpu: str, path: Path) -> None:
    """Writes ``path`` from the times of one vocabulary, rows in the cache."""
    names = contender_names(cases["peaked hot"])
    ours = iter(_OURS)
    colours = {name: _COLOURS.get(name) or next(ours) for name in names}
    groups = []
    for group in _GROUPS:
        times = cases[f"{group.kind} hot"]
        bars = [(name, us) for name in names if (us := best_us(times, group.chain, name)) is not None]
        if bars:
            groups.append((group.label, bars))
    values = [us for _, bars in groups for _, us in bars]
    axis = _Axis(min(values), max(values))
    body, y = [], float(_TOP)
    for label, bars in groups:
        middle = y + len(bars) * _BAR / 2 + 4
        body.append(_text(_LEFT - 10, middle, label, "end", 13))
        for name, us in bars:
            width = axis.x(us) - _LEFT
            body.append(
                f"<rect x='{_LEFT}' y='{y:.0f}' width='{width:.1f}' height='{_BAR - 2}' fill='{colours[name]}'/>"
            )
            body.append(_text(_LEFT + width + 5, y + _BAR - 4, _number(us), "start", 10, "#555"))
            y += _BAR
        y += _GAP
    lines = [_grid(axis, y - _GAP / 2)]
    title = f"Choosing one token of {n_vocab:,}: microseconds on one core, less is better"
    note = f"{cpu}; logits in the cache, peaked unless noted; logarithmic axis"
    head = [_text(20, 28, title, "start", 16, "#111", "600"), _text(20, 48, note, "start", 12, "#555")]
    x = 20.0
    for name in names:
        head.append(f"<rect x='{x:.0f}' y='60' width='11' height='11' fill='{colours[name]}'/>")
        head.append(_text(x + 16, 70, name, "start", 12))
        x += 40 + 7 * len(name)
    height = math.ceil(y + 14)
    frame = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {_WIDTH} {height}' width='{_WIDTH}' height='{height}' "
        f"role='img' aria-label='{escape(title, quote=True)}' {_FONT}>"
        f"<rect width='{_WIDTH}' height='{height}' rx='8' fill='#fdfdfc' stroke='#d5d5d0'/>"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([frame, *lines, *body, *head, "</svg>"]) + "\n", encoding="utf-8")


class _Axis:
    """us -> place, logarithmic, from a whole decade below the least value."""

    def __init__(self, least: float, most: float) -> None:
        self.first = math.floor(math.log10(least))
        self.last = math.log10(most)

    def x(self, us: float) -> float:
        share = (math.log10(us) - self.first) / (self.last - self.first)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _grid(axis: _Axis, bottom: float) -> str:
    parts = []
    for decade in range(axis.first, math.floor(axis.last) + 1):
        x = axis.x(10.0**decade)
        parts.append(f"<line x1='{x:.1f}' y1='{_TOP - 6}' x2='{x:.1f}' y2='{bottom:.0f}' stroke='#e3e3de'/>")
        parts.append(_text(x, _TOP - 10, f"{10**decade:,} us" if decade >= 0 else f"{10.0**decade:g} us", "middle", 10))
    return "\n".join(parts)


def _number(us: float) -> str:
    return f"{us:,.0f}" if us >= 100 else f"{us:.1f}"


def _text(x: float, y: float, text: str, anchor: str, size: int, fill: str = "#222", weight: str = "400") -> str:
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' font-size='{size}' font-weight='{weight}' "
        f"fill='{fill}'>{escape(text)}</text>"
    )
