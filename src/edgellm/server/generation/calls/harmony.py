"""gpt-oss: a message to ``functions.NAME`` in the channel commentary, whose content is JSON.

https://cookbook.openai.com/articles/openai-harmony. Its answers are read by ``reading.harmony``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from edgellm.server.generation.calls.call import Call, encode
from edgellm.server.generation.calls.form import CallForm
from edgellm.server.generation.lark import LarkRules
from edgellm.server.generation.tools import Tool

__all__ = ["HARMONY", "HARMONY_FINAL"]

HARMONY_FINAL = "<|channel|>final<|message|>"
_TO = "<|channel|>commentary to=functions."
_AS_JSON = " <|constrain|>json<|message|>"
_BEHIND = "<|channel|>commentary json<|message|>"
_CALL = re.compile(r"to=functions\.(?P<name>[^\s<]+).*?<\|message\|>(?P<arguments>.*?)(?:<\|call\|>|\Z)", re.DOTALL)
_INNER = ("<|start|>", "<|message|>", "<|end|>", "<|constrain|>", "<|call|>", "<|return|>")


def _read(text: str) -> list[Call] | None:
    try:
        calls = [
            Call(found["name"], encode(json.loads(found["arguments"], strict=False))) for found in _CALL.finditer(text)
        ]
    except (ValueError, RecursionError):
        return None
    return calls or None


def _write(rules: LarkRules, tools: Sequence[Tool], _several: bool) -> str:
    """One call ends the model's turn. Models name the function behind the channel, or before it as templates do."""
    calls = []
    for tool in tools:
        behind, before = f"{_TO}{tool.name}{_AS_JSON}", f" to=functions.{tool.name}{_BEHIND}"
        head = rules.choice([rules.literal(behind), rules.literal(before)])
        calls.append(f"{head} {rules.json_value(tool.parameters, lenient=True)}")
    return rules.choice(calls)


def _say(calls: Sequence[Call]) -> str:
    return "<|start|>assistant".join(f"{_TO}{call.name}{_AS_JSON}{call.arguments}<|call|>" for call in calls)


HARMONY = CallForm("harmony", ("<|channel|>",), None, _read, _write, _say, inner=_INNER, answers=HARMONY_FINAL)
