"""A chat of OpenAI's as one in no dialect."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from edgellm.errors import UsageError
from edgellm.server.dialects.openai.chat.messages import ChatBody, ChatMessage, FunctionTool, GivenCall
from edgellm.server.dialects.openai.formats import format_grammar
from edgellm.server.dialects.openai.options import answer_options
from edgellm.server.generation.request import ChatRequest, NamedTool, ToolChoice

__all__ = ["chat_request", "read_arguments", "read_effort"]

_MOST_TOP_LOGPROBS = 20
Thinking = bool | Literal["low", "medium", "high"] | None
_EFFORTS: dict[str | None, Thinking] = {
    None: None,
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}


def chat_request(body: ChatBody, scope: str) -> ChatRequest:
    """The chat that ``body`` asks for. Raises UsageError where a value is off."""
    if body.functions or body.function_call is not None:
        raise UsageError("functions and function_call are not known any more", hint="send tools and tool_choice")
    max_tokens = body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens
    variables = dict(body.chat_template_kwargs or {})
    thinking = read_effort(body.reasoning_effort)
    if thinking is None and isinstance(variables.get("enable_thinking"), bool):
        thinking = variables.pop("enable_thinking")
    return ChatRequest(
        messages=tuple(_message(message) for message in body.messages),
        tools=tuple(_tool(tool) for tool in body.tools or ()),
        tool_choice=_tool_choice(body),
        parallel_tool_calls=body.parallel_tool_calls is not False,
        thinking=thinking,
        documents=body.documents,
        continue_last=body.continue_final_message,
        template_variables=variables,
        options=answer_options(
            body,
            max_tokens=max_tokens,
            logprobs=_logprobs(body),
            grammar=format_grammar(body.response_format),
            scope=scope,
        ),
    )


def read_effort(effort: str | None) -> Thinking:
    """How much is to be thought."""
    return _EFFORTS[effort]


def read_arguments(arguments: str | dict[str, Any], name: str) -> dict[str, Any]:
    """The arguments of an earlier call as an object. Raises UsageError for what is none."""
    if isinstance(arguments, dict):
        return arguments
    try:
        return msgspec.json.decode(arguments or "{}", type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise UsageError(f"the arguments of a call of {name!r:.80} are no JSON object: {error}") from None


def _logprobs(body: ChatBody) -> int | None:
    if body.top_logprobs is not None:
        if not 0 <= body.top_logprobs <= _MOST_TOP_LOGPROBS:
            raise UsageError(f"top_logprobs is {body.top_logprobs}; it must be 0 to {_MOST_TOP_LOGPROBS}")
        if not body.logprobs and body.top_logprobs:
            raise UsageError("top_logprobs needs logprobs to be true")
    return (body.top_logprobs or 0) if body.logprobs else None


def _message(message: ChatMessage) -> dict[str, Any]:
    plain: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        plain["tool_calls"] = [_call(call) for call in message.tool_calls]
    thoughts = message.reasoning_content or message.reasoning
    given = {"name": message.name, "tool_call_id": message.tool_call_id, "reasoning_content": thoughts}
    return plain | {key: value for key, value in given.items() if value is not None}


def _call(call: GivenCall) -> dict[str, Any]:
    function = {"name": call.function.name, "arguments": read_arguments(call.function.arguments, call.function.name)}
    return {"id": call.id, "type": "function", "function": function}


def _tool(tool: FunctionTool) -> dict[str, Any]:
    if tool.type != "function" or tool.function is None:
        raise UsageError(f"a tool of type {tool.type!r:.60} cannot be used", hint='tools are of type "function"')
    function = msgspec.to_builtins(tool.function)
    return {"type": "function", "function": {key: value for key, value in function.items() if value is not None}}


def _tool_choice(body: ChatBody) -> ToolChoice:
    choice = body.tool_choice
    if choice is None:
        return "auto"
    if isinstance(choice, str):
        return choice
    if choice.type != "function" or choice.function is None:
        raise UsageError(
            f"a tool_choice of type {choice.type!r:.60} cannot be used",
            hint='it is "none", "auto", "required" or {"type": "function", "function": {"name": ...}}',
        )
    return NamedTool(choice.function.name)
