"""LFM2: ``<|tool_call_start|>`` and a list of calls as Python writes them.

https://docs.liquid.ai/lfm/key-concepts/tool-use
"""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Collection, Sequence
from typing import Any

from edgellm.server.generation.calls.call import Call, calls_in_json, encode
from edgellm.server.generation.calls.form import CallForm
from edgellm.server.generation.calls.python_stream import PythonCalls
from edgellm.server.generation.lark import LarkRules
from edgellm.server.generation.tools import Tool

__all__ = ["LFM2", "python_calls"]

_OPENING, _CLOSING = "<|tool_call_start|>", "<|tool_call_end|>"
_WORDS = {"true": True, "false": False, "null": None}  # as JSON has them


def python_calls(text: str) -> list[Call] | None:
    """The calls in ``text``, one or a list of them, with arguments that are named and constant; else None."""
    try:
        with warnings.catch_warnings(action="ignore", category=SyntaxWarning):  # of escapes that Python does not know
            tree = ast.parse(text.strip(), mode="eval").body
        return [_call(node) for node in (tree.elts if isinstance(tree, ast.List) else [tree])] or None
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None


def _call(node: ast.expr) -> Call:
    if not isinstance(node, ast.Call) or node.args:
        raise ValueError("no call, or arguments without names")
    arguments = {str(keyword.arg): _value(keyword.value) for keyword in node.keywords}
    if len(arguments) < len(node.keywords):
        raise ValueError("an argument is there twice")
    return Call(ast.unparse(node.func), encode(arguments))


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Name(id=name) if name in _WORDS:
            return _WORDS[name]
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_value(item) for item in items]
        case ast.Dict(keys=keys, values=values):
            return {str(_value(key)): _value(value) for key, value in zip(keys, values, strict=True) if key is not None}
    return ast.literal_eval(node)


def _read(text: str) -> list[Call] | None:
    return python_calls(text) or calls_in_json(text)


def _write(rules: LarkRules, tools: Sequence[Tool], several: bool) -> str:
    call = rules.choice([_tool_call(rules, tool) for tool in tools])
    calls = f"{call} ({rules.literal(', ')} {call})*" if several else call
    return f"{rules.literal(f'{_OPENING}[')} {calls} {rules.literal(f']{_CLOSING}')}"


def _tool_call(rules: LarkRules, tool: Tool) -> str:
    """Required arguments first, then the others, each of which may be left out."""
    properties = tool.parameters.get("properties", {})
    required = [name for name in tool.parameters.get("required", ()) if name in properties]
    given = {
        name: f"{rules.literal(f'{name}=')} {rules.json_value(tool.argument(name), lenient=True)}"
        for name in properties
    }
    comma = rules.literal(", ")
    rest = [name for name in properties if name not in required]
    arguments = f" {comma} ".join(given[name] for name in required)
    if required:
        arguments += "".join(f" ({comma} {given[name]})?" for name in rest)
    elif rest:
        firsts = [
            given[name] + "".join(f" ({comma} {given[later]})?" for later in rest[place + 1 :])
            for place, name in enumerate(rest)
        ]
        arguments = f"({' | '.join(firsts)})?"
    return rules.rule(f"{rules.literal(f'{tool.name}(')} {arguments} {rules.literal(')')}")


def _say(calls: Sequence[Call]) -> str:
    said = []
    for call in calls:
        arguments = ", ".join(
            f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in json.loads(call.arguments).items()
        )
        said.append(f"{call.name}({arguments})")
    return f"{_OPENING}[{', '.join(said)}]{_CLOSING}"


def _constant(text: str) -> Any:
    """Raises ValueError for what is none."""
    (call,) = python_calls(f"f(x={text})") or (None,)
    if call is None:
        raise ValueError("no constant")
    return json.loads(call.arguments)["x"]


def _stream(names: Collection[str]) -> PythonCalls:
    return PythonCalls(_CLOSING, _constant, _read, names)


LFM2 = CallForm("lfm2", (_OPENING,), _CLOSING, _read, _write, _say, streams=_stream)
