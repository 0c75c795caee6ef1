"""An answer to generate or chat: streamed line by line, or whole."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from edgellm.errors import EdgeLLMError, NotFoundError
from edgellm.server.dialects.ollama.errors import error_body, not_found
from edgellm.server.dialects.ollama.lines import Line, encode_line
from edgellm.server.dialects.ollama.replies import Piece, Reply, add_piece, read_events
from edgellm.server.generation.answer import answer
from edgellm.server.generation.gathering import CallGatherer
from edgellm.server.generation.request import ChatRequest, CompletionRequest
from edgellm.server.http.responses import JSONResponse, unless_gone
from edgellm.server.http.streaming import begun_stream
from edgellm.server.models.loaded import LoadedModel
from edgellm.server.state import ServerState, state_of

__all__ = ["NDJSON", "Asked", "respond", "using"]

NDJSON = "application/x-ndjson"


@dataclass(frozen=True)
class Asked:
    """What a client asks of a model.

    ``prepare`` makes the request once the model is there; ``context`` what the last line gives of the tokens, from
    those that were generated.
    """

    name: str
    keep_alive_s: float | None
    n_context: int | None
    stream: bool
    prepare: Callable[[LoadedModel], Awaitable[ChatRequest | CompletionRequest]]
    context: Callable[[LoadedModel, Sequence[int]], Awaitable[Sequence[int]]] | None = None


@contextlib.asynccontextmanager
async def using(
    state: ServerState, name: str, keep_alive_s: float | None, n_context: int | None
) -> AsyncGenerator[LoadedModel, None]:
    """The model ``name`` while the block runs. Raises NotFoundError in Ollama's words, and what loading raises."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            await state.models.resolve(name)
            model = await stack.enter_async_context(
                state.models.use(name, keep_alive_s=keep_alive_s, context=n_context)
            )
        except NotFoundError as error:
            not_found(name, error)
        yield model


async def respond(request: Request, asked: Asked, reply: Reply) -> Response:
    """Answer. What fails before the first byte has its own status; later it is the last line."""
    state = state_of(request)
    if not asked.stream:
        return JSONResponse(await unless_gone(request, _whole(state, asked, reply)))
    return await begun_stream(request, _lines(state, asked, reply), _failed, NDJSON)


def _failed(error: EdgeLLMError) -> bytes:
    return encode_line(error_body(error, error.http_status))


async def _pieces(state: ServerState, asked: Asked) -> AsyncGenerator[tuple[LoadedModel, Piece], None]:
    async with using(state, asked.name, asked.keep_alive_s, asked.n_context) as model:
        request = await asked.prepare(model)
        gatherer = CallGatherer()
        async with contextlib.aclosing(answer(model, request)) as batches:
            async for events in batches:
                yield model, await read_events(model, events, gatherer)


async def _whole(state: ServerState, asked: Asked, reply: Reply) -> Line:
    whole = Piece()
    async with contextlib.aclosing(_pieces(state, asked)) as pieces:
        async for model, piece in pieces:
            add_piece(whole, piece)
            if whole.end is not None:
                return reply.last(whole, model.load_s, await _context(asked, model, whole.token_ids))
    raise AssertionError("an answer ended without an end")


async def _lines(state: ServerState, asked: Asked, reply: Reply) -> AsyncGenerator[bytes, None]:
    token_ids: list[int] = []
    async with contextlib.aclosing(_pieces(state, asked)) as pieces:
        async for model, piece in pieces:
            token_ids += piece.token_ids
            end, piece.end = piece.end, None
            if piece.text or piece.thinking or piece.calls or piece.logprobs:
                yield encode_line(reply.part(piece))
            if end is not None:
                context = await _context(asked, model, token_ids)
                yield encode_line(reply.last(Piece(end=end), model.load_s, context))


async def _context(asked: Asked, model: LoadedModel, token_ids: Sequence[int]) -> Sequence[int]:
    return await asked.context(model, token_ids) if asked.context is not None else ()
