"""The content of a message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["text_of"]


def text_of(content: str | Sequence[Mapping[str, Any]]) -> str:
    """Content, a text or parts of text, as one text: parts are joined by line breaks."""
    return content if isinstance(content, str) else "\n".join(part["text"] for part in content)
