"""The formats of answers."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from edgellm.errors import UsageError
from edgellm_runtimes.grammar import Grammar

__all__ = ["JSONSchema", "ResponseFormat", "format_grammar", "schema_grammar"]


class JSONSchema(msgspec.Struct):
    """A schema with a name. Answers always follow it, ``strict`` or not."""

    name: str = ""
    schema: dict[str, Any] | bool | None = None
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(msgspec.Struct):
    """``response_format`` of a chat or a completion."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JSONSchema | None = None
    schema: dict[str, Any] | None = None  # with json_object, as llama.cpp and Together take it


def format_grammar(wanted: ResponseFormat | None) -> Grammar | None:
    """The grammar of ``wanted``, None for text."""
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return schema_grammar(wanted.schema or {"type": "object"})
    if wanted.json_schema is None or wanted.json_schema.schema is None:
        raise UsageError("response_format of type json_schema needs json_schema with a schema")
    return schema_grammar(wanted.json_schema.schema)


def schema_grammar(schema: dict[str, Any] | bool) -> Grammar:
    """The grammar of ``schema``."""
    if schema is False:
        raise UsageError("the schema false allows no answer")
    return Grammar("json_schema", msgspec.json.encode(schema).decode("utf-8"))
