"""A model and its answer to one request."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator

from edgellm.server.dialects.openai.options import GenerationFields
from edgellm.server.generation.answer import answer
from edgellm.server.generation.events import Event
from edgellm.server.generation.request import ChatRequest
from edgellm.server.models.loaded import LoadedModel
from edgellm.server.state import ServerState

__all__ = ["answering"]


@contextlib.asynccontextmanager
async def answering(
    state: ServerState, fields: GenerationFields, request: ChatRequest
) -> AsyncIterator[tuple[LoadedModel, AsyncGenerator[list[Event], None]]]:
    """The model that ``fields`` name and its events, held for as long as the block runs."""
    async with (
        state.models.use(fields.model, keep_alive_s=fields.keep_alive) as model,
        contextlib.aclosing(answer(model, request)) as stream,
    ):
        yield model, stream
