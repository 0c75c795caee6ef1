"""Mistral: ``[TOOL_CALLS]`` and a JSON list, in newer models a name, ``[ARGS]`` and the arguments for each call.

https://docs.mistral.ai/guides/tokenization
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence

from edgellm.server.generation.calls.call import SHORT_ID_LENGTH, Call, call_json, calls_in_json, encode
from edgellm.server.generation.calls.form import CallForm
from edgellm.server.generation.calls.hermes import json_call
from edgellm.server.generation.calls.json_stream import JsonCalls, json_calls
from edgellm.server.generation.lark import LarkRules
from edgellm.server.generation.tools import Tool

__all__ = ["MISTRAL", "MISTRAL_ARGS"]

_MARKER = "[TOOL_CALLS]"
_ID = f"/[a-zA-Z0-9]{{{SHORT_ID_LENGTH}}}/"
_ARGS_HEAD = r"(?P<name>[^\s\[\]{}]+)\s*(?:\[CALL_ID\]\s*(?P<id>\w+)\s*)?\[ARGS\]\s*(?=\{)"
_NAME = re.compile(r"\s*[^\s\[\]]+\s*")


def _read(text: str) -> list[Call] | None:
    """Several calls come behind one marker, or each behind its own."""
    found: list[Call] = []
    for part in filter(str.strip, text.split(_MARKER)):
        calls = _read_args(part) if "[ARGS]" in part else calls_in_json(part)
        if calls is None:
            return None
        found += calls
    return found or None


def _read_args(part: str) -> list[Call] | None:
    head, _, body = part.partition("[ARGS]")
    name, _, call_id = head.partition("[CALL_ID]")
    try:
        arguments = json.loads(body, strict=False)
    except (ValueError, RecursionError):
        return None
    is_call = _NAME.fullmatch(name) is not None and isinstance(arguments, dict)
    return [Call(name.strip(), encode(arguments), call_id.strip())] if is_call else None


def _write(rules: LarkRules, tools: Sequence[Tool], several: bool) -> str:
    call_id = " ".join([rules.literal(', "id": "'), rules.rule(_ID), rules.literal('"')])
    call = rules.choice([json_call(rules, tool, after=f"({call_id})?") for tool in tools])
    calls = f"{call} ({rules.literal(', ')} {call})*" if several else call
    return f"{rules.literal(f'{_MARKER}[')} {calls} {rules.literal(']')}"


def _write_args(rules: LarkRules, tools: Sequence[Tool], several: bool) -> str:
    call_id = f"({rules.literal('[CALL_ID]')} {rules.rule(_ID)})?"
    calls = []
    for tool in tools:
        name, arguments = rules.literal(f"{_MARKER}{tool.name}"), rules.json_value(tool.parameters, lenient=True)
        calls.append(rules.rule(f"{name} {call_id} {rules.literal('[ARGS]')} {arguments}"))
    call = rules.choice(calls)
    return f"({call})+" if several else call


def _say(calls: Sequence[Call]) -> str:
    return f"{_MARKER}[{', '.join(call_json(call) for call in calls)}]"


def _say_args(calls: Sequence[Call]) -> str:
    return "".join(f"{_MARKER}{call.name}[ARGS]{call.arguments}" for call in calls)


def _stream_args(names: Collection[str]) -> JsonCalls:
    return JsonCalls(_ARGS_HEAD, r"(?:\s|\[TOOL_CALLS\])*", _read, names)


MISTRAL = CallForm("mistral", (_MARKER,), None, _read, _write, _say, short_ids=True, streams=json_calls(_read, _MARKER))
MISTRAL_ARGS = CallForm(
    "mistral-args",
    (_MARKER,),
    None,
    _read,
    _write_args,
    _say_args,
    inner=("[ARGS]", "[CALL_ID]"),
    short_ids=True,
    streams=_stream_args,
)
