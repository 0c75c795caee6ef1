"""Text before it is tokenized."""

from __future__ import annotations

from edgellm.errors import UsageError
from edgellm.units import format_bytes

__all__ = ["text_bytes"]

_LONGEST_TEXT_BYTES = 16 * 2**20


def text_bytes(text: str) -> bytes:
    """``text`` as UTF-8. Raises UsageError for text that is not Unicode or far beyond any context."""
    try:
        raw = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(f"the text is not valid Unicode: {error.reason} at character {error.start}") from error
    if len(raw) > _LONGEST_TEXT_BYTES:
        raise UsageError(
            f"the text has {format_bytes(len(raw))}, at most {format_bytes(_LONGEST_TEXT_BYTES)} are accepted"
        )
    return raw
