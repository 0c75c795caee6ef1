"""From a request to its events."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

from edgellm.server.generation.defaults import default_adapters, default_stop, with_bundle_defaults
from edgellm.server.generation.events import AnswerEnd, Event, TextPart
from edgellm.server.generation.request import AnswerOptions, ChatRequest, CompletionRequest
from edgellm.server.models.loaded import LoadedModel
from edgellm.server.telemetry.work import begin_work
from edgellm_runtimes.generation import Chunk, GenerationOptions

__all__ = ["answer"]


async def answer(model: LoadedModel, request: ChatRequest | CompletionRequest) -> AsyncGenerator[list[Event], None]:
    """The events of ``request``, those that come together in one list. Closing the iterator stops the generation.

    With several choices their events are mixed, and each choice has an end of its own. Raises UsageError and what else
    ``Engine.chat`` raises before the first event.
    """
    options = _generation(model, request.options)
    if isinstance(request, ChatRequest):
        request = with_bundle_defaults(model.bundle.plan, request)
        chunks = model.engine.chat(
            request.messages, options=options, tools=request.tools, template_variables=request.template_variables
        )
    else:
        chunks = model.engine.generate(request.prompt, options=options)
    async with begin_work(model, request.options.choices) as work, contextlib.aclosing(chunks) as stream:
        async for chunk in stream:
            work.arrived(chunk)
            yield list(_events(chunk))


def _generation(model: LoadedModel, options: AnswerOptions) -> GenerationOptions:
    return GenerationOptions(
        sampling=model.engine.params(**options.sampling),
        stop=options.stop or default_stop(model.bundle.plan),
        choices=options.choices,
        deadline_s=options.deadline_s,
        overflow=options.overflow,
        keep=options.keep,
        grammar=options.grammar,
        adapters=options.adapters or default_adapters(model.bundle.plan),
        scope=options.scope,
        save=options.save,
    )


def _events(chunk: Chunk) -> list[Event]:
    found: list[Event] = []
    if chunk.text or chunk.token_ids:
        found.append(TextPart(chunk.text, chunk.token_ids, chunk.logprobs, chunk.choice))
    if chunk.finish_reason is not None:
        assert chunk.stats is not None
        found.append(AnswerEnd(chunk.finish_reason, chunk.stats, chunk.stop_string, chunk.choice))
    return found
