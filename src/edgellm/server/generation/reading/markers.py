"""Markers in streamed text."""

from __future__ import annotations

from collections.abc import Sequence

from edgellm_runtimes.detokenizer import overlap

__all__ = ["first_marker", "without_marker_start"]


def first_marker(text: str, markers: Sequence[str]) -> tuple[int, str] | None:
    """The place of the first of ``markers`` in ``text``, and which it is; of two at one place the longer."""
    found = [(place, -len(marker), marker) for marker in markers if (place := text.find(marker)) >= 0]
    if not found:
        return None
    place, _, marker = min(found)
    return place, marker


def without_marker_start(text: str, markers: Sequence[str]) -> int:
    """How many characters of ``text`` come before what may be the beginning of one of ``markers``, and before the white
    space in front of that."""
    held = max((overlap(text, marker) for marker in markers), default=0)
    return len(text[: len(text) - held].rstrip())
