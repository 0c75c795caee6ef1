"""POST /v1/chat/completions"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

from starlette.requests import Request
from starlette.responses import Response

from edgellm.server.caller import caller_of
from edgellm.server.dialects.openai.answering import answering
from edgellm.server.dialects.openai.chat.messages import ChatAnswer, ChatBody
from edgellm.server.dialects.openai.chat.stream import chat_chunks
from edgellm.server.dialects.openai.chat.translation import chat_request
from edgellm.server.dialects.openai.chat.whole import whole_chat
from edgellm.server.dialects.openai.sse import event_stream
from edgellm.server.generation.request import ChatRequest
from edgellm.server.http.body import read_json
from edgellm.server.http.operation import MODEL_ERRORS, operation
from edgellm.server.http.responses import JSONResponse, unless_gone
from edgellm.server.http.streaming import EVENT_STREAM
from edgellm.server.state import ServerState, state_of

__all__ = ["create_chat_completion"]


@operation(body=ChatBody, answer=ChatAnswer, stream=EVENT_STREAM, errors=MODEL_ERRORS)
async def create_chat_completion(request: Request) -> Response:
    """Answer a chat."""
    body = await read_json(request, ChatBody)
    chat = chat_request(body, caller_of(request).scope)
    state = state_of(request)
    if body.stream:
        return await event_stream(request, _chunks(state, body, chat))
    return JSONResponse(await unless_gone(request, _whole(state, body, chat)))


async def _whole(state: ServerState, body: ChatBody, chat: ChatRequest) -> ChatAnswer:
    async with answering(state, body, chat) as (model, stream):
        return await whole_chat(model, stream, chat.options.choices, bool(body.logprobs))


async def _chunks(state: ServerState, body: ChatBody, chat: ChatRequest) -> AsyncGenerator[bytes, None]:
    include_usage = body.stream_options is not None and body.stream_options.include_usage
    async with answering(state, body, chat) as (model, stream):
        chunks = chat_chunks(model, stream, include_usage=include_usage, with_logprobs=bool(body.logprobs))
        async with contextlib.aclosing(chunks):
            async for chunk in chunks:
                yield chunk
