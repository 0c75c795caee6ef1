"""TOML of a user or a stranger: never a hang, never a foreign error."""

from __future__ import annotations

import tomllib
from typing import Any

from edgellm.errors import UsageError

__all__ = ["LIMIT_BYTES", "parse_toml"]

LIMIT_BYTES = 256 << 10
_DOTS_LIMIT = 200


def parse_toml(data: bytes, name: str) -> dict[str, Any]:
    """Parse ``data``; ``name`` is what errors call it. Raises UsageError.

    Python's parser takes quadratic time for a key with thousands of dots: a line with so many is refused unread.
    """
    try:
        text = data.decode("utf-8")
        if any(line.count(".") > _DOTS_LIMIT for line in text.splitlines()):
            raise ValueError(f"a line has more than {_DOTS_LIMIT} dots")
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise UsageError(f"{name} is not valid TOML: {error}") from error
