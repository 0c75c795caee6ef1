"""Values of arguments that stand in tags: texts as they are, all else as JSON. Only a schema tells them apart."""

from __future__ import annotations

import json
from typing import Any

from edgellm.server.generation.argument_types import ANY_TYPE
from edgellm.server.generation.tools import Tool

__all__ = ["said_value", "tag_value"]

_WORDS = {"true": True, "false": False, "none": None}  # as Python has them: models write both


def tag_value(text: str, tool: Tool | None = None, name: str = "") -> Any:
    """What ``text`` means as the argument ``name`` of ``tool``.

    A text stays one where the schema says that it is, also when it looks like a number or an object. Without a schema,
    and where it allows both, what is JSON is read as such.
    """
    types = ANY_TYPE if tool is None else tool.types.of(name)
    if "string" not in types:
        word = text.strip().lower()
        if word in _WORDS and types & {"boolean", "null"}:
            return _WORDS[word]
    elif types <= {"string", "null"}:
        return None if "null" in types and text.strip() == "null" else text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def said_value(arguments: str) -> dict[str, str]:
    """``arguments``, the text of a JSON object, as what stands in the tags."""
    members: dict[str, Any] = json.loads(arguments)
    return {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in members.items()
    }
