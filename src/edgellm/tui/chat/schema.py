"""JSON schemas that answers follow."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgellm.errors import UsageError
from edgellm.files import read_small_file
from edgellm.paths import user_path

__all__ = ["parse_schema", "read_schema"]

_LARGEST_BYTES = 1 << 20


def read_schema(name: str) -> str:
    """A JSON schema from a file. Raises UsageError for what is none, NotFoundError, AccessError."""
    return parse_schema(read_small_file(Path(user_path(name.strip())), _LARGEST_BYTES, "the schema"))


def parse_schema(text: str | bytes) -> str:
    """A JSON schema as compact JSON. Raises UsageError for what is none."""
    try:
        schema = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise UsageError(f"the schema is no JSON: {error}", hint='write it like {"type": "object"}') from error
    if not isinstance(schema, dict):
        raise UsageError("the schema is no JSON object", hint='write it like {"type": "object"}')
    return msgspec.json.encode(schema).decode("utf-8")
