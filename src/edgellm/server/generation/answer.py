"""From a request to its events."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial

import msgspec

from edgellm.bundle.chat_defaults import default_adapters, default_stop
from edgellm.errors import UsageError
from edgellm.server.generation.choice import ChoiceEvents
from edgellm.server.generation.constraint import answer_grammar, tools_in_play
from edgellm.server.generation.events import AnswerEnd, Event, TextPart
from edgellm.server.generation.limits import check_request
from edgellm.server.generation.profile import chat_profile
from edgellm.server.generation.prompt import render_prompt
from edgellm.server.generation.reading.harmony import HarmonyReader
from edgellm.server.generation.reading.reader import AnswerReader
from edgellm.server.generation.request import (
    AnswerOptions,
    ChatRequest,
    CompletionRequest,
    with_bundle_defaults,
)
from edgellm.server.generation.schemas import closed_grammar
from edgellm.server.generation.tools import read_tools
from edgellm.server.models.loaded import LoadedModel
from edgellm.server.telemetry.record import current_record
from edgellm.server.telemetry.work import begin_work
from edgellm_runtimes.generation import AdapterUse, Chunk, GenerationOptions

__all__ = ["answer"]


async def answer(model: LoadedModel, request: ChatRequest | CompletionRequest) -> AsyncGenerator[list[Event], None]:
    """The events of ``request``, those that come together in one list. Closing the iterator stops the generation.

    With several choices their events are mixed, and each choice has an end of its own. Raises UsageError,
    MissingAbilityError of an encoder, and what else ``Engine.generate`` raises before the first event.
    """
    model.engine.check_generates()
    record = current_record()
    check_request(request, record.limits, model.engine.info.context)
    if record.keeps_content:
        record.keep_prompt(request)
    options = _generation(model, request.options)
    prompt: str | Sequence[int]
    read: Callable[[Chunk], list[Event]] = _plain_events
    if isinstance(request, ChatRequest):
        request = with_bundle_defaults(model.bundle.plan, request)
        prompt, options, choices = await _chat(model, request, options)
        if choices is not None:
            read = partial(_read_events, choices)
    else:
        prompt = request.prompt
    stream = model.engine.stream(prompt, options)
    async with begin_work(model, request.options.choices) as work, contextlib.aclosing(stream):
        async for chunks in stream:
            work.arrived(chunks)
            events = read(chunks[0]) if len(chunks) == 1 else [event for chunk in chunks for event in read(chunk)]
            if events:
                yield events


async def _chat(
    model: LoadedModel, request: ChatRequest, options: GenerationOptions
) -> tuple[list[int], GenerationOptions, list[ChoiceEvents] | None]:
    """Prompt and options of a chat, and what reads each of its choices; None where its answers are text alone."""
    engine = model.engine
    profile = await chat_profile(engine)
    tools = tools_in_play(request, read_tools(request.tools))
    markers = profile.traits.thinking
    may_think = markers is not None and request.thinking is not False and not request.continue_last
    wanted = options.grammar
    if may_think and wanted is not None and wanted.kind != "json_schema":
        if request.thinking:
            raise UsageError(f"the model cannot think before an answer in a {wanted.kind}", hint="turn thinking off")
        request, may_think = msgspec.structs.replace(request, thinking=False), False
    prompt = await render_prompt(engine, profile, request)
    # a grammar knows nothing of headers: the prompt begins the message that it is for
    in_answer = bool(profile.calls.answers) and wanted is not None and wanted.kind != "json_schema"
    text = prompt.text + profile.calls.answers if in_answer else prompt.text
    tokens = await engine.prompt_tokens(text, add_special=False)  # the template writes bos where it belongs
    grammar = answer_grammar(profile, request, wanted, tools, may_think=may_think, in_thinking=prompt.in_thinking)
    options = msgspec.structs.replace(options, grammar=grammar)
    if not tools and markers is None:
        return tokens, options, None
    form = profile.calls
    shown = [*(markers or ()), *(form.markers if tools or form.answers else ())]
    options = msgspec.structs.replace(options, markers=tuple(name for name in shown if name in profile.control_tokens))
    by_name = {tool.name: tool for tool in tools}

    def reader() -> AnswerReader | HarmonyReader:
        if form.answers:
            return HarmonyReader(in_answer=request.continue_last or in_answer)
        return AnswerReader(markers, form if tools else None, in_thinking=prompt.in_thinking, tools=by_name)

    return tokens, options, [ChoiceEvents(reader(), index, form.short_ids) for index in range(options.choices)]


def _generation(model: LoadedModel, options: AnswerOptions) -> GenerationOptions:
    return GenerationOptions(
        sampling=model.engine.params(**options.sampling),
        stop=options.stop or default_stop(model.bundle.plan),
        choices=options.choices,
        deadline_s=options.deadline_s,
        overflow=options.overflow,
        keep=options.keep,
        grammar=closed_grammar(options.grammar),
        adapters=options.adapters or tuple(map(AdapterUse, default_adapters(model.bundle.plan))),
        scope=options.scope,
        save=options.save or model.saves_chats,
    )


def _read_events(choices: Sequence[ChoiceEvents], chunk: Chunk) -> list[Event]:
    return choices[chunk.choice].take(chunk)


def _plain_events(chunk: Chunk) -> list[Event]:
    found: list[Event] = []
    if chunk.text or chunk.token_ids:
        found.append(TextPart(chunk.text, chunk.token_ids, chunk.logprobs, chunk.choice))
    if chunk.finish_reason is not None:
        assert chunk.stats is not None
        found.append(AnswerEnd(chunk.finish_reason, chunk.stats, chunk.stop_string, choice=chunk.choice))
    return found
