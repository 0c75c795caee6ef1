"""GLM 4.5 and later: ``<tool_call>`` around the name and tags for each argument.

https://huggingface.co/zai-org/GLM-4.6/blob/main/chat_template.jinja
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial

from edgellm.server.generation.calls.call import Call, encode
from edgellm.server.generation.calls.form import CallForm
from edgellm.server.generation.calls.hermes import tagged_value
from edgellm.server.generation.calls.tag_stream import TagCalls
from edgellm.server.generation.calls.tag_value import said_value, tag_value
from edgellm.server.generation.lark import LarkRules
from edgellm.server.generation.tools import Tool

__all__ = ["GLM", "GLM_TIGHT"]

_OPENING, _CLOSING = "<tool_call>", "</tool_call>"
_KEY, _KEY_END, _VALUE, _VALUE_END = "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"
_HEAD = re.compile(rf"\s*(?P<name>[^\s<]+)[^\S\n]*(?:\n|(?={_KEY}))")
_START = rf"\s*{_KEY}(?P<key>.*?){_KEY_END}\s*{_VALUE}(?P<value>.*?)"
_ARGUMENT = re.compile(_START + _VALUE_END, re.DOTALL)
_LAST = re.compile(_START + r"\s*\Z", re.DOTALL)
_NEVER = re.compile(r"(?!)")
_WHOLE = re.compile(rf"\s*(?P<name>[^\s<]+)\s*(?:{_KEY}.*)?\Z", re.DOTALL)


def _read(text: str, tools: Mapping[str, Tool] | None = None) -> list[Call] | None:
    whole = _WHOLE.match(text)
    if whole is None:
        return None
    tool = (tools or {}).get(whole["name"])
    members = [(found["key"].strip(), found["value"]) for found in _ARGUMENT.finditer(text)]
    arguments = {key: tag_value(value, tool, key) for key, value in members}
    return [Call(whole["name"], encode(arguments))]


def _stream(tools: Mapping[str, Tool]) -> TagCalls:
    return TagCalls(_HEAD, _ARGUMENT, _LAST, _NEVER, partial(_read, tools=tools), tools)


def _write(line_end: str, rules: LarkRules, tools: Sequence[Tool], several: bool) -> str:
    calls, end_of_line = [], rules.literal(line_end) if line_end else ""
    for tool in tools:
        required = tool.parameters.get("required", ())
        parts = [rules.literal(f"{_OPENING}{tool.name}{line_end}")]
        for name in tool.parameters.get("properties", {}):
            value = tagged_value(rules, tool.argument(name), _VALUE_END)
            opening = rules.literal(f"{_KEY}{name}{_KEY_END}{line_end}{_VALUE}")
            part = f"{opening} {value} {end_of_line}"
            parts.append(part if name in required else f"({part})?")
        parts.append(rules.literal(_CLOSING))
        calls.append(rules.rule(" ".join(parts)))
    call = rules.choice(calls)
    return f"{call} ({end_of_line} {call})*" if several else call


def _say(line_end: str, calls: Sequence[Call]) -> str:
    said = []
    for call in calls:
        arguments = [
            f"{_KEY}{key}{_KEY_END}{line_end}{_VALUE}{value}{_VALUE_END}{line_end}"
            for key, value in said_value(call.arguments).items()
        ]
        said.append(f"{_OPENING}{call.name}{line_end}{''.join(arguments)}{_CLOSING}")
    return line_end.join(said)


def _form(name: str, line_end: str) -> CallForm:
    return CallForm(
        name,
        (_OPENING,),
        _CLOSING,
        _read,
        partial(_write, line_end),
        partial(_say, line_end),
        inner=(_KEY, _KEY_END, _VALUE, _VALUE_END),
        streams=_stream,
    )


GLM = _form("glm", "\n")
GLM_TIGHT = _form("glm-tight", "")  # from 4.7 on
