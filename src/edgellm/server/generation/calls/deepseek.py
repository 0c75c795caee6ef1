"""DeepSeek: a block of calls, each with its name and JSON between tokens; R1 and V3 fence the JSON.

https://huggingface.co/deepseek-ai/DeepSeek-V3.1#toolcall. Templates tell nothing of tools: the system prompt does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from edgellm.server.generation.calls.call import Call, encode
from edgellm.server.generation.calls.form import CallForm
from edgellm.server.generation.calls.json_stream import JsonCalls
from edgellm.server.generation.lark import LarkRules
from edgellm.server.generation.tools import Tool

__all__ = ["DEEPSEEK", "DEEPSEEK_FENCED"]

_OPENING, _CLOSING = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
_BEGIN, _SEP, _END = "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"
_HEAD = rf"{_BEGIN}\s*(?:function\s*{_SEP})?\s*(?P<name>[^\s<]+)\s*(?:{_SEP}|```json)\s*(?=\{{)"
_BETWEEN = rf"(?:\s|```|{_END})*"
_CALL = re.compile(rf"{_HEAD}(?P<arguments>.*?)(?:```)?\s*{_END}", re.DOTALL)

_TOLD = """## Tools
You have access to the following tools:

{tools}

IMPORTANT: ALWAYS adhere to this exact format for tool use:
{call}

Where:

- `tool_call_name` must be an exact match to one of the available tools
- `tool_call_arguments` must be valid JSON that strictly follows the tool's Parameters Schema
- For multiple tool calls, chain them directly without separators or spaces"""


def _read(text: str) -> list[Call] | None:
    calls = []
    for found in _CALL.finditer(text if _END in text else text + _END):
        try:
            arguments = json.loads(found["arguments"], strict=False)
        except (ValueError, RecursionError):
            return None
        calls.append(Call(found["name"], encode(arguments)))
    return calls or None


def _stream(names: Collection[str]) -> JsonCalls:
    return JsonCalls(_HEAD, _BETWEEN, _read, names)


def _tell(tools: Sequence[Mapping[str, Any]], call: str) -> str:
    told = []
    for tool in tools:
        function = tool["function"]
        schema = json.dumps(function.get("parameters") or {}, ensure_ascii=False)
        told.append(f"### {function['name']}\nDescription: {function.get('description') or ''}\n\nParameters: {schema}")
    return _TOLD.format(tools="\n\n".join(told), call=call)


def _block(rules: LarkRules, calls: Sequence[str], between: str, several: bool) -> str:
    call = rules.choice(list(calls))
    more = f"({rules.literal(between)} {call})*" if between else f"({call})*"
    return f"{rules.literal(_OPENING)} {call} {more if several else ''} {rules.literal(_CLOSING)}"


def _write(rules: LarkRules, tools: Sequence[Tool], several: bool) -> str:
    calls = [
        f"{rules.literal(f'{_BEGIN}{tool.name}{_SEP}')} {rules.json_value(tool.parameters, lenient=True)} "
        f"{rules.literal(_END)}"
        for tool in tools
    ]
    return _block(rules, calls, "", several)


def _write_fenced(rules: LarkRules, tools: Sequence[Tool], several: bool) -> str:
    closing = rules.literal("\n```" + _END)
    calls = [
        f"{rules.literal(_fence(tool.name))} {rules.json_value(tool.parameters, lenient=True)} {closing}"
        for tool in tools
    ]
    return _block(rules, calls, "\n", several)


def _say(calls: Sequence[Call]) -> str:
    return f"{_OPENING}{''.join(f'{_BEGIN}{call.name}{_SEP}{call.arguments}{_END}' for call in calls)}{_CLOSING}"


def _say_fenced(calls: Sequence[Call]) -> str:
    return _OPENING + "\n".join(f"{_fence(call.name)}{call.arguments}\n```{_END}" for call in calls) + _CLOSING


def _fence(name: str) -> str:
    return f"{_BEGIN}function{_SEP}{name}\n```json\n"


def _tell_plain(tools: Sequence[Mapping[str, Any]]) -> str:
    call = f"{_BEGIN}tool_call_name{_SEP}tool_call_arguments{_END}{{additional_tool_calls}}"
    return _tell(tools, f"{_OPENING}{call}{_CLOSING}")


def _tell_fenced(tools: Sequence[Mapping[str, Any]]) -> str:
    return _tell(tools, _say_fenced([Call("tool_call_name", "tool_call_arguments")]))


DEEPSEEK = CallForm(
    "deepseek",
    (_OPENING,),
    _CLOSING,
    _read,
    _write,
    _say,
    inner=(_BEGIN, _SEP, _END),
    streams=_stream,
    tell=_tell_plain,
)
DEEPSEEK_FENCED = CallForm(
    "deepseek-fenced",
    (_OPENING,),
    _CLOSING,
    _read,
    _write_fenced,
    _say_fenced,
    inner=(_BEGIN, _SEP, _END),
    streams=_stream,
    tell=_tell_fenced,
)
