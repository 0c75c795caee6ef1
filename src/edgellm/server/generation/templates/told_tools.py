"""Tools, calls and results as text, for chat templates that do not know them. Tools are told of as for Hermes,
unless a form of calls has its own way.

https://github.com/NousResearch/Hermes-Function-Calling#prompt-format-for-function-calling
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from edgellm.server.generation.calls.call import Call
from edgellm.server.generation.calls.form import CallForm
from edgellm.server.generation.templates.content import text_of

__all__ = ["say_calls", "say_result", "tell_tools"]

Message = dict[str, Any]

_TOLD = """You can call functions. Their descriptions, one JSON object a line:
<tools>
{tools}
</tools>
To call one, answer with its name and arguments as JSON inside these tags, once for each call:
<tool_call>
{{"name": "function", "arguments": {{"argument": "value"}}}}
</tool_call>"""


def tell_tools(messages: Sequence[Message], tools: Sequence[Mapping[str, Any]], form: CallForm) -> list[Message]:
    """``messages`` behind a system prompt that tells of ``tools``, as models of ``form`` know it."""
    if form.tell is not None:
        text = form.tell(tools)
    else:
        text = _TOLD.format(tools="\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools))
    if messages and messages[0]["role"] == "system":
        first = {**messages[0], "content": f"{text_of(messages[0]['content'])}\n\n{text}"}
        return [first, *messages[1:]]
    return [{"role": "system", "content": text}, *messages]


def say_calls(message: Message, form: CallForm) -> Message:
    """``message`` with its calls as text behind what it says."""
    said = {key: value for key, value in message.items() if key != "tool_calls"}
    calls = [_call(call["function"]) for call in message.get("tool_calls") or ()]
    if calls:
        said["content"] = "\n".join([*filter(None, [text_of(message["content"])]), form.say(calls)])
    return said


def say_result(message: Message) -> Message:
    """The result of a call as a message of the user."""
    return {"role": "user", "content": f"<tool_response>\n{text_of(message['content'])}\n</tool_response>"}


def _call(function: Mapping[str, Any]) -> Call:
    arguments = function.get("arguments") or {}
    return Call(
        function["name"], arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    )
