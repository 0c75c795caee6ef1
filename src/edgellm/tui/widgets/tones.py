"""How the tones of the view models look, in every theme."""

from __future__ import annotations

from collections.abc import Iterable

from textual.content import Content

from edgellm.tui.models.text import Tone

__all__ = ["TONE_CLASSES", "TONE_CSS", "toned", "toned_line"]

_STYLES: dict[Tone, str] = {
    "plain": "",
    "good": "$text-success",
    "busy": "$text-primary",
    "warning": "$text-warning",
    "bad": "bold $text-error",
    "quiet": "$text-muted",
}
TONE_CLASSES = {f"tone--{tone}" for tone in _STYLES}
"""Component classes of widgets that draw their own lines."""

TONE_CSS = """
    & > .tone--plain { }
    & > .tone--good { color: $text-success; }
    & > .tone--busy { color: $text-primary; }
    & > .tone--warning { color: $text-warning; }
    & > .tone--bad { color: $text-error; text-style: bold; }
    & > .tone--quiet { color: $text-muted; }
"""
"""Their styles, to be put into the DEFAULT_CSS of such a widget."""


def toned(text: str, tone: Tone) -> Content:
    """``text`` as it is, no markup in it, in the style of ``tone``."""
    return Content.styled(text, _STYLES[tone]) if _STYLES[tone] else Content(text)


def toned_line(parts: Iterable[tuple[str, Tone]]) -> Content:
    """Several texts on one line."""
    return Content("").join([toned(text, tone) for text, tone in parts])
