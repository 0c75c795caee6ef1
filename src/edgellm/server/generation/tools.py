"""The tools that a request offers, in the one form that everything here reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from edgellm.errors import UsageError
from edgellm.server.generation.argument_types import ArgumentTypes
from edgellm.server.generation.schemas import closed

__all__ = ["Tool", "read_tools"]

_MOST_TOOLS = 256


@dataclass(frozen=True)
class Tool:
    """``parameters`` is a JSON schema, closed: no property beyond those that it names, unless it says so."""

    name: str
    parameters: Mapping[str, Any]

    @cached_property
    def types(self) -> ArgumentTypes:
        """The types that its arguments may have."""
        return ArgumentTypes(self.parameters)

    def argument(self, name: str) -> dict[str, Any]:
        """The schema of one argument, with what it may refer to."""
        schema = self.parameters["properties"][name]
        shared = {key: self.parameters[key] for key in ("$defs", "definitions") if key in self.parameters}
        return {**(schema if isinstance(schema, Mapping) else {}), **shared}


def read_tools(tools: Sequence[Mapping[str, Any]]) -> list[Tool]:
    """The functions among OpenAI's tool objects. Raises UsageError for what is none, and for a name twice."""
    if len(tools) > _MOST_TOOLS:
        raise UsageError(f"{len(tools)} tools were given; at most {_MOST_TOOLS} are possible")
    found: dict[str, Tool] = {}
    for number, tool in enumerate(tools):
        function = tool.get("function")
        name = function.get("name") if isinstance(function, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(name, str) or not name:
            raise UsageError(f"tool {number} must be a function with a name")
        if name in found:
            raise UsageError(f"the tool {name!r} is there twice")
        found[name] = Tool(name, _closed(function.get("parameters"), name))
    return list(found.values())


def _closed(schema: object, name: str) -> Mapping[str, Any]:
    if schema is None:
        schema = {}
    if not isinstance(schema, Mapping):
        raise UsageError(f"the parameters of tool {name!r} must be a JSON schema")
    if schema.keys() & {"anyOf", "oneOf", "allOf", "$ref"}:
        return {"type": "object", **schema}
    try:
        found: dict[str, Any] = closed({"type": "object", "properties": {}, **schema})  # no argument that nobody reads
    except RecursionError:
        raise UsageError(f"the parameters of tool {name!r} are nested too deeply") from None
    return found
