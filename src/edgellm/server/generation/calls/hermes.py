"""Hermes and Qwen: ``<tool_call>`` around one JSON object, or around Qwen's tags; Granite 4 and SmolLM3 do the same.

Qwen3-Coder's tags: https://huggingface.co/Qwen/Qwen3-Coder-30B-A3B-Instruct/blob/main/qwen3coder_tool_parser.py
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from edgellm.server.generation.calls.call import Call, call_json, calls_in_json, encode
from edgellm.server.generation.calls.form import CallForm
from edgellm.server.generation.calls.json_stream import json_calls
from edgellm.server.generation.calls.tag_stream import TagCalls
from edgellm.server.generation.calls.tag_value import tag_value
from edgellm.server.generation.lark import LarkRules
from edgellm.server.generation.tools import Tool

__all__ = ["HERMES", "QWEN_TAGS", "json_call", "tagged_value"]

_FUNCTION = re.compile(r"<function=([^>\n]+)>(.*?)(?:</function>|\Z)", re.DOTALL)
_PARAMETER_END = "\n</parameter>"
_PARAMETER = re.compile(
    r"<parameter=([^>\n]+)>\n?(.*?)\n?(?:</parameter>|(?=<parameter=)|(?=</function>)|\Z)", re.DOTALL
)

_TAG_HEAD = re.compile(r"\s*<function=\s*(?P<name>[^>\s]+)\s*>")
_TAG_START = r"\s*<parameter=(?P<key>[^>\n]+)>\n?(?P<value>.*?)"
_TAG_ARGUMENT = re.compile(_TAG_START + r"\n?(?:</parameter>|(?=<parameter=)|(?=</function>))", re.DOTALL)
_TAG_LAST = re.compile(_TAG_START + r"\s*\Z", re.DOTALL)
_TAG_TAIL = re.compile(r"\s*</function>")


def json_call(rules: LarkRules, tool: Tool, arguments_key: str = "arguments", after: str = "") -> str:
    """An expression for ``{"name": NAME, "arguments": {...}}``, with the expression ``after`` behind the arguments."""
    before = f'{{"name": {json.dumps(tool.name, ensure_ascii=False)}, "{arguments_key}": '
    return f"{rules.literal(before)} {rules.json_value(tool.parameters, lenient=True)} {after} {rules.literal('}')}"


def _read(text: str, tools: Mapping[str, Tool] | None = None) -> list[Call] | None:
    return _read_tags(text, tools or {}) if text.lstrip().startswith("<function=") else calls_in_json(text)


def _read_tags(text: str, tools: Mapping[str, Tool]) -> list[Call] | None:
    found = []
    for name, body in _FUNCTION.findall(text):
        tool = tools.get(name.strip())
        members = [(key.strip(), value) for key, value in _PARAMETER.findall(body)]
        found.append(Call(name.strip(), encode({key: tag_value(value, tool, key) for key, value in members})))
    return found or None


def _write(rules: LarkRules, tools: Sequence[Tool], several: bool) -> str:
    return _in_tags(rules, [json_call(rules, tool) for tool in tools], "\n</tool_call>", several)


def _write_tags(rules: LarkRules, tools: Sequence[Tool], several: bool) -> str:
    return _in_tags(rules, [_tagged(rules, tool) for tool in tools], "</function>\n</tool_call>", several)


def _in_tags(rules: LarkRules, bodies: list[str], end: str, several: bool) -> str:
    opening, closing, between = rules.literal("<tool_call>\n"), rules.literal(end), rules.literal("\n")
    call = rules.rule(f"{opening} {rules.choice(bodies)} {closing}")
    return f"{call} ({between} {call})*" if several else call


def _tagged(rules: LarkRules, tool: Tool) -> str:
    """Parameters in the order of the schema; text of a ``string`` is free, all else is JSON."""
    required = tool.parameters.get("required", ())
    parts = [rules.literal(f"<function={tool.name}>\n")]
    for name in tool.parameters.get("properties", {}):
        value = tagged_value(rules, tool.argument(name), _PARAMETER_END)
        part = " ".join([rules.literal(f"<parameter={name}>\n"), value, rules.literal("\n")])
        parts.append(part if name in required else f"({part})?")
    return rules.rule(" ".join(parts))


def tagged_value(rules: LarkRules, schema: dict[str, Any], end: str) -> str:
    """An expression for a value and ``end``, the end of its tag."""
    words = schema.get("enum")
    if isinstance(words, list) and words and all(isinstance(word, str) for word in words):
        value = rules.choice([rules.literal(word) for word in words])
    elif schema.get("type") == "string":
        return rules.until("", end)
    else:
        value = rules.json_value(schema, lenient=True)
    return f"{value} {rules.literal(end)}"


def _say(calls: Sequence[Call]) -> str:
    return "\n".join(f"<tool_call>\n{call_json(call)}\n</tool_call>" for call in calls)


def _stream_tags(tools: Mapping[str, Tool]) -> TagCalls:
    return TagCalls(_TAG_HEAD, _TAG_ARGUMENT, _TAG_LAST, _TAG_TAIL, partial(_read, tools=tools), tools)


HERMES = CallForm("hermes", ("<tool_call>",), "</tool_call>", _read, _write, _say, streams=json_calls(_read))
QWEN_TAGS = CallForm("qwen-tags", ("<tool_call>",), "</tool_call>", _read, _write_tags, _say, streams=_stream_tags)
