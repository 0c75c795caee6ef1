"""POST /v1/responses"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from edgellm.server.caller import caller_of
from edgellm.server.dialects.openai.answering import answering
from edgellm.server.dialects.openai.responses.messages import ResponsesBody
from edgellm.server.dialects.openai.responses.response import ResponseWriter
from edgellm.server.dialects.openai.responses.translation import responses_request
from edgellm.server.dialects.openai.sse import event_stream
from edgellm.server.generation.request import ChatRequest
from edgellm.server.http.body import read_json
from edgellm.server.http.operation import MODEL_ERRORS, operation
from edgellm.server.http.responses import JSONResponse, unless_gone
from edgellm.server.http.streaming import EVENT_STREAM
from edgellm.server.state import ServerState, state_of

__all__ = ["create_response"]


@operation(body=ResponsesBody, answer=dict[str, Any], stream=EVENT_STREAM, errors=MODEL_ERRORS)
async def create_response(request: Request) -> Response:
    """Answer a conversation."""
    body = await read_json(request, ResponsesBody)
    chat = responses_request(body, caller_of(request).scope)
    state, writer = state_of(request), ResponseWriter(body)
    if body.stream:
        return await event_stream(request, _events(state, body, chat, writer), writer.failed)
    return JSONResponse(await unless_gone(request, _whole(state, body, chat, writer)))


async def _whole(state: ServerState, body: ResponsesBody, chat: ChatRequest, writer: ResponseWriter) -> dict[str, Any]:
    async with answering(state, body, chat) as (model, stream):
        return await writer.whole(model, stream)


async def _events(
    state: ServerState, body: ResponsesBody, chat: ChatRequest, writer: ResponseWriter
) -> AsyncGenerator[bytes, None]:
    async with (
        answering(state, body, chat) as (model, stream),
        contextlib.aclosing(writer.events(model, stream)) as parts,
    ):
        async for part in parts:
            yield part
