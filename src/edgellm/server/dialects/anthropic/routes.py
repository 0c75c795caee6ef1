"""The routes that Anthropic's clients ask."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from starlette.requests import Request
from starlette.responses import Response

from edgellm.errors import EdgeLLMError, UnsupportedError
from edgellm.server.caller import caller_of
from edgellm.server.dialects.anthropic.errors import error_body
from edgellm.server.dialects.anthropic.messages import whole_message
from edgellm.server.dialects.anthropic.requests import CountRequest, MessagesRequest
from edgellm.server.dialects.anthropic.responses import Message, TokenCount
from edgellm.server.dialects.anthropic.stream import MessageStream, encoded
from edgellm.server.dialects.anthropic.translation import chat_request
from edgellm.server.generation.answer import answer
from edgellm.server.generation.prompt import count_prompt_tokens
from edgellm.server.generation.request import ChatRequest
from edgellm.server.http.body import read_json
from edgellm.server.http.operation import MODEL_ERRORS, operation
from edgellm.server.http.responses import JSONResponse, unless_gone
from edgellm.server.http.streaming import EVENT_STREAM, begun_stream
from edgellm.server.models.manager import ModelManager
from edgellm.server.state import state_of

__all__ = ["count_tokens", "create_message", "not_here"]


@operation(body=MessagesRequest, answer=Message, stream=EVENT_STREAM, errors=MODEL_ERRORS)
async def create_message(request: Request) -> Response:
    """Answer a chat, whole or as it is made."""
    body = await read_json(request, MessagesRequest)
    chat = chat_request(body, caller_of(request).scope)
    models = state_of(request).models
    if not body.stream:
        return JSONResponse(await unless_gone(request, _whole(models, body, chat)))
    return await begun_stream(request, _stream(models, body, chat), _failed)


@operation(body=CountRequest, answer=TokenCount, errors=MODEL_ERRORS)
async def count_tokens(request: Request) -> Response:
    """How many tokens a request would give to the model."""
    body = await read_json(request, CountRequest)
    chat = chat_request(body)
    async with state_of(request).models.use(body.model) as model:
        return JSONResponse(TokenCount(await count_prompt_tokens(model, chat)))


@operation(errors=(501,), statuses=())
async def not_here(request: Request) -> Response:
    """A route of Anthropic's that this server does not have."""
    raise UnsupportedError(f"{request.url.path} is not available here", hint="use POST /v1/messages")


async def _whole(models: ModelManager, body: MessagesRequest, chat: ChatRequest) -> Message:
    async with models.use(body.model) as model, contextlib.aclosing(answer(model, chat)) as events:
        return await whole_message(body, events)


async def _stream(models: ModelManager, body: MessagesRequest, chat: ChatRequest) -> AsyncGenerator[bytes, None]:
    """The first part comes when the first token has."""
    async with models.use(body.model) as model, contextlib.aclosing(answer(model, chat)) as events:
        counting = asyncio.ensure_future(count_prompt_tokens(model, chat))
        try:
            first = await anext(events)
            message = MessageStream(body, await counting)
        finally:
            counting.cancel()
            await asyncio.gather(counting, return_exceptions=True)
        yield message.start() + message.feed(first)
        async for more in events:
            if part := message.feed(more):
                yield part


def _failed(error: EdgeLLMError) -> bytes:
    return encoded(error_body(error, error.http_status))
