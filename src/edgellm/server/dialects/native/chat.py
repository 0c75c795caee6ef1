"""POST /api/edgellm/chat"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from edgellm.api.chat import ChatEnd, ChatLine, ChatOrder, ChatStart, ChatText, ChatThought
from edgellm.api.errors import ErrorText
from edgellm.api.run import RunFailure
from edgellm.errors import EdgeLLMError
from edgellm.server.caller import caller_of
from edgellm.server.dialects.native.sampling import chosen_sampling
from edgellm.server.generation.answer import answer
from edgellm.server.generation.events import AnswerEnd, Event, TextPart, ThinkingPart
from edgellm.server.generation.request import AnswerOptions, ChatRequest
from edgellm.server.http.body import read_json
from edgellm.server.http.operation import MODEL_ERRORS, operation
from edgellm.server.http.streaming import begun_stream
from edgellm.server.state import ServerState, state_of

__all__ = ["chat"]

_LINES = "application/x-ndjson"
_encode = msgspec.json.Encoder().encode


@operation(body=ChatOrder, answer=_LINES, errors=MODEL_ERRORS)
async def chat(request: Request) -> Response:
    """Answer a conversation: a line for each piece of the answer, thoughts apart from text, and one for its end."""
    order = await read_json(request, ChatOrder)
    wanted = ChatRequest(
        messages=tuple({"role": turn.role, "content": turn.content} for turn in order.messages),
        thinking=order.thinking,
        continue_last=order.continue_last,
        options=AnswerOptions(
            sampling=chosen_sampling(order.sampling),
            stop=order.stop,
            deadline_s=order.deadline_s,
            overflow=order.overflow,
            keep=order.keep,
            grammar=order.grammar,
            scope=caller_of(request).scope,
        ),
    )
    return await begun_stream(request, _lines(state_of(request), order, wanted), _failed, _LINES)


async def _lines(state: ServerState, order: ChatOrder, wanted: ChatRequest) -> AsyncGenerator[bytes, None]:
    async with state.models.use(order.model, keep_alive_s=order.keep_alive_s, context=order.context) as model:
        start = ChatStart(
            name=model.name, digest=model.bundle.digest, context=model.engine.info.context, note=model.note
        )
        before = _line(start)  # goes with the first piece: what fails before it has a status of its own
        async with contextlib.aclosing(answer(model, wanted)) as stream:
            async for events in stream:
                if lines := before + b"".join(_line(line) for event in events if (line := _line_of(event)) is not None):
                    yield lines
                before = b""


def _line_of(event: Event) -> ChatLine | None:
    match event:
        case TextPart():
            return ChatText(event.text) if event.text else None
        case ThinkingPart():
            return ChatThought(event.text) if event.text else None
        case AnswerEnd():
            return ChatEnd(
                reason=event.reason,
                stats=event.stats,
                stop_string=event.stop_string,
                thinking_tokens=event.thinking_tokens,
            )
    return None


def _failed(error: EdgeLLMError) -> bytes:
    return _line(RunFailure(ErrorText(error.message, error.hint, error.http_status, type(error).__name__)))


def _line(line: ChatLine) -> bytes:
    return _encode(line) + b"\n"
