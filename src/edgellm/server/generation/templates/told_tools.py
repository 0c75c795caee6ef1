"""Tools for models whose chat template knows none: the system prompt tells of them, in Hermes' form.

https://github.com/NousResearch/Hermes-Function-Calling#prompt-format-for-function-calling
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from edgellm.server.generation.templates.content import text_of

__all__ = ["tell_tools"]

_TOLD = """You can call functions. Their descriptions, one JSON object a line:
<tools>
{tools}
</tools>
To call one, answer with its name and arguments as JSON inside these tags, once for each call:
<tool_call>
{{"name": "function", "arguments": {{"argument": "value"}}}}
</tool_call>"""


def tell_tools(messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """``messages`` with ``tools``, calls and results as text."""
    told = [_told(message) for message in messages]
    if not tools:
        return told
    lines = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)
    text = _TOLD.format(tools=lines)
    if told and told[0]["role"] == "system":
        told[0]["content"] = f"{text_of(told[0]['content'])}\n\n{text}"
    else:
        told.insert(0, {"role": "system", "content": text})
    return told


def _told(message: dict[str, Any]) -> dict[str, Any]:
    if message["role"] == "tool":
        return {"role": "user", "content": f"<tool_response>\n{text_of(message['content'])}\n</tool_response>"}
    told = dict(message)
    calls = told.pop("tool_calls", None) or ()
    written = [_written(call["function"]) for call in calls]
    if written:
        told["content"] = "\n".join([*filter(None, [text_of(message["content"])]), *written])
    return told


def _written(function: dict[str, Any]) -> str:
    arguments = function.get("arguments") or {}
    if isinstance(arguments, str):
        arguments = json.loads(arguments)
    call = {"name": function["name"], "arguments": arguments}
    return f"<tool_call>\n{json.dumps(call, ensure_ascii=False)}\n</tool_call>"
