"""Answers to a completion request, as the parts of a stream and as a whole."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field

import msgspec

from edgellm.server.caller import Caller
from edgellm.server.dialects.llamacpp.asked import answer_options, asks_for_nothing, stop_strings
from edgellm.server.dialects.llamacpp.probabilities import token_probabilities
from edgellm.server.dialects.llamacpp.prompts import prompt_tokens, separate_prompts
from edgellm.server.dialects.llamacpp.requests import CompletionBody
from edgellm.server.dialects.llamacpp.responses import (
    Completion,
    CompletionPart,
    StopType,
    Timings,
    TokenProbability,
    timings_of,
)
from edgellm.server.dialects.llamacpp.settings import generation_settings, slot_settings
from edgellm.server.dialects.llamacpp.slots import Slots, SlotTask
from edgellm.server.generation.answer import answer
from edgellm.server.generation.events import AnswerEnd, Event, TextPart
from edgellm.server.generation.merged import merged
from edgellm.server.generation.request import AnswerOptions, CompletionRequest
from edgellm.server.models.loaded import LoadedModel
from edgellm_runtimes.sampling import SamplingParams

__all__ = ["completion_parts", "whole_completions"]


async def completion_parts(
    model: LoadedModel, body: CompletionBody, slots: Slots, caller: Caller
) -> AsyncGenerator[list[CompletionPart], None]:
    """What comes of ``body``, a Completion as the last part of each answer. Raises what ``answer`` raises."""
    options = await answer_options(model, body, caller.scope)
    params = model.engine.params(**options.sampling)
    prompts = [await prompt_tokens(model.engine, prompt) for prompt in separate_prompts(body.prompt)]
    run = _Run(model, body, options, params, slots, caller.name)
    async with contextlib.aclosing(merged([run.parts(*numbered) for numbered in enumerate(prompts)])) as all_parts:
        async for parts in all_parts:
            yield parts


async def whole_completions(lists: AsyncIterator[list[CompletionPart]], body: CompletionBody) -> list[Completion]:
    """The answers in their order, each whole."""
    found: dict[int, list[CompletionPart]] = {}
    async for parts in lists:
        for part in parts:
            found.setdefault(part.index, []).append(part)
    return [_joined(found[index], body) for index in sorted(found)]


def _joined(parts: Sequence[CompletionPart], body: CompletionBody) -> Completion:
    end = parts[-1]
    assert isinstance(end, Completion)
    likely = [entry for part in parts if part.completion_probabilities for entry in part.completion_probabilities]
    return msgspec.structs.replace(
        end,
        content="".join(part.content for part in parts),
        tokens=tuple(token for part in parts for token in part.tokens) if body.return_tokens else (),
        completion_probabilities=likely or msgspec.UNSET,
    )


@dataclass
class _Answer:
    """One answer that is being made."""

    index: int
    prompt: list[int]
    task: SlotTask
    begun: float = field(default_factory=time.monotonic)
    first: float = 0.0  # when its first token came


@dataclass(frozen=True)
class _Run:
    """All answers to one request."""

    model: LoadedModel
    body: CompletionBody
    options: AnswerOptions
    params: SamplingParams
    slots: Slots
    caller: str

    async def parts(self, number: int, prompt: list[int]) -> AsyncGenerator[list[CompletionPart], None]:
        """What comes of the prompt with this number."""
        answers = [
            self._begin(number * self.options.choices + choice, prompt) for choice in range(self.options.choices)
        ]
        request = CompletionRequest(prompt=tuple(prompt), options=self.options)
        try:
            async with contextlib.aclosing(answer(self.model, request)) as lists:
                async for events in lists:
                    yield [part for event in events async for part in self._parts(answers[event.choice], event)]
        finally:
            for each in answers:
                self.slots.end(self.caller, self.model, each.task)

    def _begin(self, index: int, prompt: list[int]) -> _Answer:
        settings = slot_settings(self.body, self.params)
        return _Answer(index, prompt, self.slots.begin(self.caller, self.model, settings, len(prompt)))

    async def _parts(self, one: _Answer, event: Event) -> AsyncGenerator[CompletionPart, None]:
        if isinstance(event, AnswerEnd):
            yield await self._end(one, event)
        elif isinstance(event, TextPart) and not asks_for_nothing(self.body):
            yield await self._piece(one, event)

    async def _piece(self, one: _Answer, event: TextPart) -> CompletionPart:
        one.first = one.first or time.monotonic()
        one.task.saw(event.text, len(event.token_ids))
        likely: list[TokenProbability] | msgspec.UnsetType = msgspec.UNSET
        if event.logprobs:
            likely = await token_probabilities(
                self.model.engine,
                event.token_ids,
                event.logprobs,
                after_sampling=bool(self.body.post_sampling_probs),
            )
        return CompletionPart(
            index=one.index,
            content=event.text,
            tokens=event.token_ids,
            stop=False,
            id_slot=one.task.id_slot,
            tokens_predicted=one.task.decoded,
            tokens_evaluated=len(one.prompt),
            timings=self._timings(one) if self.body.timings_per_token else msgspec.UNSET,
            completion_probabilities=likely,
        )

    def _timings(self, one: _Answer) -> Timings:
        """So far. What of the prompt was cached is known at the end only."""
        prompt_s, decode_s, steps = one.first - one.begun, time.monotonic() - one.first, one.task.decoded - 1
        return Timings(
            cache_n=0,
            prompt_n=len(one.prompt),
            prompt_ms=prompt_s * 1e3,
            prompt_per_token_ms=prompt_s * 1e3 / len(one.prompt),
            prompt_per_second=len(one.prompt) / prompt_s if prompt_s > 0 else 0.0,
            predicted_n=one.task.decoded,
            predicted_ms=decode_s * 1e3,
            predicted_per_token_ms=decode_s * 1e3 / steps if steps > 0 else 0.0,
            predicted_per_second=steps / decode_s if decode_s > 0 and steps > 0 else 0.0,
        )

    async def _end(self, one: _Answer, event: AnswerEnd) -> Completion:
        stats = event.stats
        one.task.cached_tokens = stats.cached_tokens
        pieces = await asyncio.to_thread(self.model.engine.token_bytes, one.prompt)
        params = msgspec.structs.replace(self.params, seed=stats.seed)
        return Completion(
            index=one.index,
            content="",
            tokens=(),
            stop=True,
            id_slot=one.task.id_slot,
            tokens_predicted=0 if asks_for_nothing(self.body) else stats.generated_tokens,
            tokens_evaluated=stats.prompt_tokens,
            timings=timings_of(stats),
            model=self.model.name,
            generation_settings=generation_settings(self.body, params, stop_strings(self.body)),
            prompt=b"".join(pieces).decode("utf-8", "replace"),
            has_new_line=one.task.has_new_line,
            truncated=stats.dropped_tokens > 0,
            stop_type=_stop_type(event),
            stopping_word=event.stop_string or "",
            tokens_cached=stats.prompt_tokens - stats.dropped_tokens + max(stats.generated_tokens - 1, 0),
        )


def _stop_type(end: AnswerEnd) -> StopType:
    if end.stop_string is not None:
        return "word"
    return "eos" if end.reason == "stop" else "limit"
