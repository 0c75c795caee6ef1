"""Pictures of what a terminal showed, and whether those of the documents still show the same.

`DRAW_PICTURES=1 python -m pytest tests/tui/test_tui_tmux.py` draws them anew.
"""

from __future__ import annotations

import html
import os
import re
import time
from collections.abc import Callable
from difflib import ndiff
from io import StringIO
from pathlib import Path

__all__ = ["FOLDER", "check_picture", "draw", "likeness", "lines_of", "wait_for_picture"]

FOLDER = Path(__file__).parents[2] / "docs" / "images"
_PATIENCE_S = 20.0
_COLUMN = 12.2  # Rich draws a character as wide as that, and a line as high as this
_LINE = 24.4
_TEXT = re.compile(r'<text class="terminal-r\d+" x="([\d.]+)" y="([\d.]+)"[^>]*>([^<]*)</text>')
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_UNIT = re.compile(r"# ?(?:[KMG]i?B|ms|s)\b")
_DATE = re.compile(r"\b\d{2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b")
_RULES = re.compile(r"[\u2500-\u259f]+")  # frames and bars
_LETTER = re.compile(r"[^\W\d_]")
_BORDER = "\u2502"  # between two columns of a screen


def draw(painted: str) -> str:
    """An SVG of what `tmux capture-pane -e` printed."""
    from rich.ansi import AnsiDecoder
    from rich.console import Console

    lines = list(AnsiDecoder().decode(painted.rstrip("\n")))  # colours go on from one line to the next
    width = max(line.cell_len for line in lines)
    console = Console(record=True, width=width, file=StringIO(), force_terminal=True, color_system="truecolor")
    for line in lines:
        console.print(line, no_wrap=True, overflow="ignore", crop=False, soft_wrap=True)
    return console.export_svg(title="tmux: edgellm", unique_id="terminal")


def lines_of(svg: str) -> list[str]:
    """The text of a picture, line by line."""
    lines: dict[int, dict[int, str]] = {}
    for x, y, text in _TEXT.findall(svg):
        lines.setdefault(round(float(y) / _LINE), {})[round(float(x) / _COLUMN)] = html.unescape(text)
    found = []
    for number in range(max(lines, default=-1) + 1):
        line = ""
        for column, text in sorted(lines.get(number, {}).items()):
            line = line.ljust(column) + text.replace("\xa0", " ")
        found.append(line.rstrip())
    return found


def likeness(lines: list[str], *, hidden: tuple[str, str] | None = None) -> list[str]:
    """The words that are the same on every machine and at every time, column by column.

    Where lines are broken, numbers, their units and signs for a missing one are left open, and so is what stands
    between the texts ``hidden``.
    """
    columns: dict[int, list[str]] = {}
    for line in lines:
        for number, text in enumerate(line.split(_BORDER)):
            columns.setdefault(number, []).append(text)
    words: list[str] = []
    for column in columns.values():
        text = "\n".join(column)
        if hidden is not None and hidden[0] in text:
            before, _, rest = text.partition(hidden[0])
            text = f"{before}{hidden[0]} ... {hidden[1]}{rest.partition(hidden[1])[2]}"
        text = _UNIT.sub("# B", _NUMBER.sub("#", _DATE.sub("# #", text)))
        words += [word for word in _RULES.sub(" ", text).split() if _LETTER.search(word)]
    return words


def wait_for_picture(name: str, painted: Callable[[], str]) -> None:
    """``check_picture`` of what is ``painted`` by and by."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return check_picture(name, painted())
        except AssertionError:
            if time.monotonic() >= until:
                raise
        time.sleep(0.1)


def check_picture(name: str, painted: str, *, hidden: tuple[str, str] | None = None) -> None:
    """Compare what a terminal shows with the picture in the documents, or draw that anew."""
    now = draw(painted)
    path = FOLDER / name
    if os.environ.get("DRAW_PICTURES"):
        path.write_text(now, encoding="utf-8")
    kept = likeness(lines_of(path.read_text(encoding="utf-8")), hidden=hidden)
    differences = [line for line in ndiff(kept, likeness(lines_of(now), hidden=hidden)) if line[0] in "+-"]
    assert not differences, f"{differences}; run: DRAW_PICTURES=1 pytest tests/tui/test_tui_tmux.py"
