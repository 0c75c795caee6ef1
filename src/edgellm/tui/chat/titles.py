"""What a conversation is called."""

from __future__ import annotations

import unicodedata

__all__ = ["title_of"]

_LONGEST = 60


def title_of(text: str) -> str:
    """The beginning of a text on one line, cut at a word."""
    shown = "".join(" " if unicodedata.category(letter).startswith("C") else letter for letter in text[:400])
    words = " ".join(shown.split())
    if len(words) <= _LONGEST:
        return words or "conversation"
    cut = words[: _LONGEST - 1]
    head = cut.rpartition(" ")[0]
    return f"{head if len(head) > _LONGEST // 2 else cut}…"
