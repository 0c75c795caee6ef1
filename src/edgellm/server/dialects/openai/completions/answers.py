"""The answers to several prompts as they come."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence

from edgellm.errors import UsageError
from edgellm.server.generation.answer import answer
from edgellm.server.generation.events import Event
from edgellm.server.generation.merged import merged
from edgellm.server.generation.request import CompletionRequest
from edgellm.server.models.loaded import LoadedModel

__all__ = ["answers"]

Numbered = tuple[int, list[Event]]
"""The number of a prompt, and events of its answers."""


async def answers(model: LoadedModel, requests: Sequence[CompletionRequest]) -> AsyncGenerator[Numbered, None]:
    """The events of all ``requests``, with the number of their request. Closing the iterator stops them.

    Raises UsageError for an empty prompt before any answer has begun; some models begin every text with a token.
    """
    for request in requests:
        if not request.prompt and (not isinstance(request.prompt, str) or not await model.engine.prompt_tokens("")):
            raise UsageError("the prompt is empty")
    numbered = merged([_numbered(model, request, number) for number, request in enumerate(requests)])
    async with contextlib.aclosing(numbered):
        async for each in numbered:
            yield each


async def _numbered(model: LoadedModel, request: CompletionRequest, number: int) -> AsyncGenerator[Numbered, None]:
    async with contextlib.aclosing(answer(model, request)) as stream:
        async for events in stream:
            yield number, events
