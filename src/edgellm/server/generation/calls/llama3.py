"""Llama 3.1 and later: a bare JSON object, behind ``<|python_tag|>`` or at the start of the answer.

https://www.llama.com/docs/model-cards-and-prompt-formats/llama3_1/#json-based-tool-calling
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from edgellm.server.generation.calls.call import Call, calls_in_json, encode
from edgellm.server.generation.calls.form import CallForm
from edgellm.server.generation.calls.hermes import json_call
from edgellm.server.generation.lark import LarkRules
from edgellm.server.generation.tools import Tool

__all__ = ["LLAMA3"]

_BUILT_IN = re.compile(r"\s*(\w+)\.call\((.*)\)\s*", re.DOTALL)  # brave_search.call(query="...")


def _read(text: str) -> list[Call] | None:
    match = _BUILT_IN.fullmatch(text)
    return calls_in_json(text) if match is None else _read_built_in(match[1], match[2])


def _read_built_in(name: str, arguments: str) -> list[Call] | None:
    try:
        call = ast.parse(f"f({arguments})", mode="eval").body
        assert isinstance(call, ast.Call)
        values = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords if keyword.arg}
        return [Call(name, encode(values))]
    except (ValueError, SyntaxError, TypeError, AssertionError, RecursionError, MemoryError):
        return None


def _write(rules: LarkRules, tools: Sequence[Tool], several: bool) -> str:
    call = rules.choice([json_call(rules, tool, "parameters") for tool in tools])
    return f"{call} ({rules.literal('; ')} {call})*" if several else call


LLAMA3 = CallForm("llama3", ("<|python_tag|>",), None, _read, _write, bare=True)
