"""Llama 3.1 and later: a bare JSON object, behind ``<|python_tag|>`` or at the start of the answer.

https://www.llama.com/docs/model-cards-and-prompt-formats/llama3_1/#json-based-tool-calling
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgellm.server.generation.calls.call import Call, call_json, calls_in_json
from edgellm.server.generation.calls.form import CallForm
from edgellm.server.generation.calls.hermes import json_call
from edgellm.server.generation.calls.json_stream import json_calls
from edgellm.server.generation.calls.pythonic import python_calls
from edgellm.server.generation.lark import LarkRules
from edgellm.server.generation.tools import Tool

__all__ = ["LLAMA3"]

_BUILT_IN = re.compile(r"\s*\w+\.call\(")  # brave_search.call(query="...")


def _read(text: str) -> list[Call] | None:
    calls = calls_in_json(text)
    if calls is None and _BUILT_IN.match(text) is not None:
        return [Call(call.name.removesuffix(".call"), call.arguments) for call in python_calls(text) or ()] or None
    return calls


def _write(rules: LarkRules, tools: Sequence[Tool], several: bool) -> str:
    call = rules.choice([json_call(rules, tool, "parameters") for tool in tools])
    return f"{call} ({rules.literal('; ')} {call})*" if several else call


def _say(calls: Sequence[Call]) -> str:
    return "; ".join(call_json(call, "parameters") for call in calls)


LLAMA3 = CallForm("llama3", ("<|python_tag|>",), None, _read, _write, _say, bare=True, streams=json_calls(_read))
