"""POST /v1/completions"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence

from starlette.requests import Request
from starlette.responses import Response

from edgellm.server.caller import caller_of
from edgellm.server.dialects.openai.completions.answers import answers
from edgellm.server.dialects.openai.completions.messages import Completion, CompletionBody, CompletionChoice
from edgellm.server.dialects.openai.completions.translation import completion_requests
from edgellm.server.dialects.openai.completions.writer import CompletionWriter, joined
from edgellm.server.dialects.openai.sse import DONE, data, event_stream
from edgellm.server.generation.request import CompletionRequest
from edgellm.server.http.body import read_json
from edgellm.server.http.operation import MODEL_ERRORS, operation
from edgellm.server.http.responses import JSONResponse, unless_gone
from edgellm.server.http.streaming import EVENT_STREAM
from edgellm.server.state import ServerState, state_of

__all__ = ["create_completion"]


@operation(body=CompletionBody, answer=Completion, stream=EVENT_STREAM, errors=MODEL_ERRORS)
async def create_completion(request: Request) -> Response:
    """Continue prompts as they are."""
    body = await read_json(request, CompletionBody)
    requests = completion_requests(body, caller_of(request).scope)
    state = state_of(request)
    if body.stream:
        return await event_stream(request, _chunks(state, body, requests))
    return JSONResponse(await unless_gone(request, _whole(state, body, requests)))


async def _whole(state: ServerState, body: CompletionBody, requests: Sequence[CompletionRequest]) -> Completion:
    parts: dict[int, list[CompletionChoice]] = {}
    async with (
        state.models.use(body.model, keep_alive_s=body.keep_alive) as model,
        contextlib.aclosing(answers(model, requests)) as batches,
    ):
        writer = CompletionWriter(model, body, requests)
        async for prompt, events in batches:
            for choice in await writer.choices(prompt, events):
                parts.setdefault(choice.index, []).append(choice)
        return writer.completion([joined(parts[index]) for index in sorted(parts)], with_usage=True)


async def _chunks(
    state: ServerState, body: CompletionBody, requests: Sequence[CompletionRequest]
) -> AsyncGenerator[bytes, None]:
    include_usage = body.stream_options is not None and body.stream_options.include_usage
    async with (
        state.models.use(body.model, keep_alive_s=body.keep_alive) as model,
        contextlib.aclosing(answers(model, requests)) as batches,
    ):
        writer = CompletionWriter(model, body, requests)
        async for prompt, events in batches:
            choices = await writer.choices(prompt, events)
            if choices:
                yield b"".join(data(writer.completion([choice])) for choice in choices)
        yield (data(writer.completion([], with_usage=True)) if include_usage else b"") + DONE
