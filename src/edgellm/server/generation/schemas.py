"""JSON schemas as small models can follow them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from edgellm_runtimes.grammar import Grammar

__all__ = ["closed", "closed_grammar"]

_OF_NAMES = ("properties", "patternProperties", "$defs", "definitions")
_OF_ONE = ("items", "contains", "additionalProperties")
_OF_SOME = ("anyOf", "oneOf", "allOf", "prefixItems")
_COMBINING = frozenset(("anyOf", "oneOf", "allOf", "$ref", "if", "not", "dependentSchemas"))
_OPEN = frozenset(("additionalProperties", "patternProperties", "unevaluatedProperties"))


def closed(schema: Any) -> Any:
    """``schema`` whose objects have no properties but those that it names, where it does not say that they may.

    What follows it follows ``schema`` too. A small model that may add any property seldom stops adding. A schema that
    puts objects together from several parts stays as it is: the parts would exclude each other.
    """
    return schema if _combines(schema) else _close(schema)


def closed_grammar(grammar: Grammar | None) -> Grammar | None:
    """``grammar`` with its schema closed, where it is one."""
    if grammar is None or grammar.kind != "json_schema":
        return grammar
    try:
        return Grammar("json_schema", json.dumps(closed(json.loads(grammar.text)), ensure_ascii=False))
    except (ValueError, RecursionError):  # whoever compiles it says what is wrong
        return grammar


def _parts(schema: Mapping[str, Any]) -> list[Any]:
    found: list[Any] = [schema[key] for key in _OF_ONE if key in schema]
    for key in _OF_NAMES:
        if isinstance(schema.get(key), Mapping):
            found += schema[key].values()
    for key in _OF_SOME:
        if isinstance(schema.get(key), list):
            found += schema[key]
    return found


def _combines(schema: Any) -> bool:
    """True where several parts speak of the properties of one object."""
    if not isinstance(schema, Mapping):
        return False
    alternatives = schema.keys() & _COMBINING
    several = isinstance(schema.get("allOf"), list) and len(schema["allOf"]) > 1
    if several or len(alternatives) > 1 or (alternatives and "properties" in schema):
        return True
    return any(_combines(part) for part in _parts(schema))


def _close(schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    found = dict(schema)
    for key in _OF_ONE:
        if key in found:
            found[key] = _close(found[key])
    for key in _OF_NAMES:
        if isinstance(found.get(key), Mapping):
            found[key] = {name: _close(part) for name, part in found[key].items()}
    for key in _OF_SOME:
        if isinstance(found.get(key), list):
            found[key] = [_close(part) for part in found[key]]
    if isinstance(found.get("properties"), Mapping) and not found.keys() & _OPEN:
        found["additionalProperties"] = False
    return found
