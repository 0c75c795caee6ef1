"""Values of arguments that stand in tags: texts as they are, all else as JSON. Only a schema tells them apart."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from edgellm.server.generation.tools import Tool

__all__ = ["said_value", "tag_value"]

_ANY = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})
_WORDS = {"true": True, "false": False, "none": None}  # as Python has them: models write both
_DEEPEST = 8  # references to references


def tag_value(text: str, tool: Tool | None = None, name: str = "") -> Any:
    """What ``text`` means as the argument ``name`` of ``tool``.

    A text stays one where the schema says that it is, also when it looks like a number or an object. Without a schema,
    and where it allows both, what is JSON is read as such.
    """
    types = _types_of(tool, name)
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


def _types_of(tool: Tool | None, name: str) -> frozenset[str]:
    """The types that the argument ``name`` may have; all where nothing is said."""
    properties = {} if tool is None else tool.parameters.get("properties")
    if tool is None or not isinstance(properties, Mapping) or name not in properties:
        return _ANY
    return _types(properties[name], tool.parameters, _DEEPEST)


def _types(schema: Any, root: Mapping[str, Any], depth: int) -> frozenset[str]:
    if not isinstance(schema, Mapping) or depth == 0:
        return _ANY
    if isinstance(reference := schema.get("$ref"), str):
        return _types(_referred(reference, root), root, depth - 1)
    found = _ANY
    named = schema.get("type")
    if isinstance(named, str):
        found &= {named}
    elif isinstance(named, list):
        found &= {each for each in named if isinstance(each, str)}
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(values, list):
        found &= {_type(value) for value in values}
    for key in ("anyOf", "oneOf"):
        if isinstance(parts := schema.get(key), list) and parts:
            found &= frozenset[str]().union(*(_types(part, root, depth - 1) for part in parts))
    return found or _ANY


def _type(value: Any) -> str:
    match value:
        case bool():
            return "boolean"
        case str():
            return "string"
        case None:
            return "null"
        case list():
            return "array"
        case dict():
            return "object"
    return "integer" if isinstance(value, int) else "number"


def _referred(reference: str, root: Mapping[str, Any]) -> Any:
    """What ``reference`` points to in ``root``; None where that is nothing."""
    found: Any = root
    if not reference.startswith("#"):
        return None
    for word in reference[1:].split("/")[1:]:
        found = found.get(word.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
    return found
