"""Granite 3 and Phi 4: ``<|tool_call|>`` and a JSON list of calls.

https://huggingface.co/ibm-granite/granite-3.3-2b-instruct
"""

from __future__ import annotations

from collections.abc import Sequence

from edgellm.server.generation.calls.call import Call, call_json, calls_in_json
from edgellm.server.generation.calls.form import CallForm
from edgellm.server.generation.calls.hermes import json_call
from edgellm.server.generation.calls.json_stream import json_calls
from edgellm.server.generation.lark import LarkRules
from edgellm.server.generation.tools import Tool

__all__ = ["GRANITE"]

_MARKER, _CLOSING = "<|tool_call|>", "<|/tool_call|>"  # Granite never writes the second


def _read(text: str) -> list[Call] | None:
    return calls_in_json(text.replace(_CLOSING, ""))


def _write(rules: LarkRules, tools: Sequence[Tool], several: bool) -> str:
    call = rules.choice([json_call(rules, tool) for tool in tools])
    calls = f"{call} ({rules.literal(', ')} {call})*" if several else call
    return f"{rules.literal(f'{_MARKER}[')} {calls} {rules.literal(']')}"


def _say(calls: Sequence[Call]) -> str:
    return f"{_MARKER}[{', '.join(call_json(call) for call in calls)}]"


GRANITE = CallForm(
    "granite", (_MARKER,), None, _read, _write, _say, inner=(_CLOSING,), streams=json_calls(_read, _CLOSING)
)
