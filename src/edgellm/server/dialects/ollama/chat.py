"""POST /api/chat"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from edgellm.errors import UsageError
from edgellm.server.caller import caller_of
from edgellm.server.dialects.ollama.answering import NDJSON, Asked, respond
from edgellm.server.dialects.ollama.durations import parse_keep_alive
from edgellm.server.dialects.ollama.errors import model_name
from edgellm.server.dialects.ollama.lines import Line
from edgellm.server.dialects.ollama.loading import load_or_unload
from edgellm.server.dialects.ollama.messages import ChatBody, Message, Think
from edgellm.server.dialects.ollama.options import answer_options, asked_context, check_options, format_grammar
from edgellm.server.dialects.ollama.replies import ChatReply
from edgellm.server.dialects.ollama.truncation import drop_oldest
from edgellm.server.generation.profile import chat_profile
from edgellm.server.generation.request import ChatRequest
from edgellm.server.http.body import read_json
from edgellm.server.http.operation import MODEL_ERRORS, operation
from edgellm.server.models.loaded import LoadedModel

__all__ = ["chat", "check_thinking", "our_messages", "refuse_images", "thinking"]


@operation(body=ChatBody, answer=Line, stream=NDJSON, errors=MODEL_ERRORS)
async def chat(request: Request) -> Response:
    """Answer a conversation, or load or unload a model when there is none."""
    body = await read_json(request, ChatBody)
    name = model_name(body)
    keep_alive_s = parse_keep_alive(body.keep_alive)
    options = check_options(body.options)
    n_context = asked_context(options)
    reply = ChatReply(name)
    if not body.messages:
        return await load_or_unload(request, name, keep_alive_s, n_context, reply)
    asked = ChatRequest(
        messages=our_messages(body.messages),
        tools=tuple(body.tools or ()),
        thinking=thinking(body.think),
        options=answer_options(
            options,
            grammar=format_grammar(body.format),
            truncate=body.truncate,
            shift=body.shift,
            logprobs=body.logprobs,
            top_logprobs=body.top_logprobs,
            scope=caller_of(request).scope,
        ),
    )

    async def prepare(model: LoadedModel) -> ChatRequest:
        await check_thinking(model, asked)
        return asked if body.truncate is False else await drop_oldest(model, asked)

    return await respond(request, Asked(name, keep_alive_s, n_context, body.stream is not False, prepare), reply)


def thinking(think: Think | None) -> Any:
    """``think`` as ChatRequest takes it."""
    return None if think is None or think == "" else think


async def check_thinking(model: LoadedModel, asked: ChatRequest) -> None:
    """Raise UsageError where a model is asked to think that never does."""
    if asked.thinking and (await chat_profile(model.engine)).traits.thinking is None:
        raise UsageError(f"{model.name} does not support thinking", hint="leave think out, or take a model that thinks")


def our_messages(messages: Sequence[Message]) -> tuple[dict[str, Any], ...]:
    """``messages`` in the form of chat templates. Raises UsageError for images and for arguments that are no object."""
    return tuple(_our_message(message) for message in messages)


def refuse_images(images: Sequence[str] | None) -> None:
    """Raise UsageError for images."""
    if images:
        raise UsageError("this model does not support image input", hint="send text only")


def _our_message(message: Message) -> dict[str, Any]:
    refuse_images(message.images)
    found: dict[str, Any] = {"role": message.role, "content": message.content or ""}
    if message.thinking:
        found["reasoning_content"] = message.thinking
    if message.tool_calls:
        found["tool_calls"] = [
            {
                "id": call.id or f"call_{index}",
                "type": "function",
                "function": {"name": call.function.name, "arguments": _arguments(call.function.arguments)},
            }
            for index, call in enumerate(message.tool_calls)
        ]
    if message.tool_name:
        found["name"] = message.tool_name
    if message.tool_call_id:
        found["tool_call_id"] = message.tool_call_id
    return found


def _arguments(arguments: dict[str, Any] | str) -> dict[str, Any]:
    if isinstance(arguments, dict):
        return arguments
    try:
        return msgspec.json.decode(arguments or "{}", type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise UsageError("the arguments of a tool call are not a JSON object") from error
