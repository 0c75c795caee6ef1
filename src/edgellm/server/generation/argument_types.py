"""Which types of JSON the schema of a tool allows for each argument."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["ANY_TYPE", "ArgumentTypes"]

ANY_TYPE = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})
_DEEPEST = 32  # references to references and alternatives of alternatives; what lies deeper may be anything


class ArgumentTypes:
    """The types that the arguments of one tool may have. ``parameters`` is its JSON schema, which must not change.

    Clients write schemas, so each part of one is looked at once, however many references lead to it: the work of all
    arguments together grows with the length of the schema.
    """

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self._root = parameters
        self._known: dict[int, frozenset[str]] = {}  # by identity: a part has many names, and lives as long as the root

    def of(self, name: str) -> frozenset[str]:
        """The types that the argument ``name`` may have; all where nothing is said."""
        properties = self._root.get("properties")
        if not isinstance(properties, Mapping) or name not in properties:
            return ANY_TYPE
        return self._types(properties[name], _DEEPEST)

    def _types(self, schema: Any, depth: int) -> frozenset[str]:
        if not isinstance(schema, Mapping) or depth == 0:
            return ANY_TYPE
        if id(schema) not in self._known:
            self._known[id(schema)] = ANY_TYPE  # for references to itself
            self._known[id(schema)] = self._look_at(schema, depth)
        return self._known[id(schema)]

    def _look_at(self, schema: Mapping[str, Any], depth: int) -> frozenset[str]:
        if isinstance(reference := schema.get("$ref"), str):
            return self._types(_referred(reference, self._root), depth - 1)
        found = ANY_TYPE
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
                found &= self._of_some(parts, depth - 1)
        return found or ANY_TYPE

    def _of_some(self, parts: list[Any], depth: int) -> frozenset[str]:
        found: frozenset[str] = frozenset()
        for part in parts:
            found |= self._types(part, depth)
            if found >= ANY_TYPE:
                break
        return found


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
