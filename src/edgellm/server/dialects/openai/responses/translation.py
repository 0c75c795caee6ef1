"""A request of the Responses API as one in no dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from edgellm.errors import UsageError
from edgellm.server.dialects.openai.chat.translation import read_effort
from edgellm.server.dialects.openai.formats import schema_grammar
from edgellm.server.dialects.openai.options import answer_options
from edgellm.server.dialects.openai.responses.items import input_messages
from edgellm.server.dialects.openai.responses.messages import ResponsesBody, TextOptions
from edgellm.server.generation.request import ChatRequest, NamedTool, ToolChoice
from edgellm_runtimes.grammar import Grammar

__all__ = ["WITH_LOGPROBS", "responses_request"]

WITH_LOGPROBS = "message.output_text.logprobs"
_KEPT = ("previous_response_id", "conversation", "prompt")


def responses_request(body: ResponsesBody, scope: str) -> ChatRequest:
    """The chat that ``body`` asks for. Raises UsageError for what is off, and for what needs a memory."""
    for name in _KEPT:
        if getattr(body, name) is not None:
            raise UsageError(
                f"{name} is not possible: nothing is kept here", hint="send the whole conversation as input"
            )
    if body.background:
        raise UsageError("background is not possible: nothing is kept here", hint="stream the answer")
    if body.n not in (None, 1):
        raise UsageError("n is not possible: a response has one answer")
    if body.truncation == "auto" and body.overflow == "error":
        body = msgspec.structs.replace(body, overflow="truncate")
    wants_logprobs = WITH_LOGPROBS in (body.include or ())
    return ChatRequest(
        messages=tuple(input_messages(body.input, body.instructions)),
        tools=tuple(_tool(tool) for tool in body.tools or ()),
        tool_choice=_tool_choice(body.tool_choice),
        parallel_tool_calls=body.parallel_tool_calls is not False,
        thinking=None if body.reasoning is None else read_effort(body.reasoning.effort),
        template_variables=body.chat_template_kwargs or {},
        options=answer_options(
            body,
            max_tokens=body.max_output_tokens,
            logprobs=(body.top_logprobs or 0) if wants_logprobs or body.top_logprobs else None,
            grammar=_grammar(body.text),
            scope=scope,
        ),
    )


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    if tool.get("type") != "function" or not isinstance(tool.get("name"), str):
        raise UsageError(
            f"a tool of type {tool.get('type')!r:.60} cannot be used",
            hint='tools are of type "function" and have a name',
        )
    wanted = {key: tool[key] for key in ("name", "description", "parameters", "strict") if tool.get(key) is not None}
    return {"type": "function", "function": wanted}


def _tool_choice(choice: str | Mapping[str, Any] | None) -> ToolChoice:
    match choice:
        case None | "auto":
            return "auto"
        case "none" | "required":
            return choice
        case {"type": "function", "name": str(name)}:
            return NamedTool(name)
    raise UsageError('tool_choice must be "none", "auto", "required" or {"type": "function", "name": ...}')


def _grammar(text: TextOptions | None) -> Grammar | None:
    wanted = text.format if text is not None else None
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return schema_grammar({"type": "object"})
    if wanted.schema is None:
        raise UsageError("text.format of type json_schema needs a schema")
    return schema_grammar(wanted.schema)
