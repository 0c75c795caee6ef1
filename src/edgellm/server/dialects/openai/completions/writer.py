"""Completions from events."""

from __future__ import annotations

from collections.abc import Sequence

from edgellm.server.dialects.openai.completions.messages import (
    Completion,
    CompletionBody,
    CompletionChoice,
    CompletionLogprobs,
)
from edgellm.server.dialects.openai.logprobs import name_logprobs
from edgellm.server.dialects.openai.names import fingerprint, new_id, now_s
from edgellm.server.dialects.openai.usage import finish_reason, usage_of
from edgellm.server.generation.events import AnswerEnd, Event, TextPart
from edgellm.server.generation.request import CompletionRequest
from edgellm.server.models.loaded import LoadedModel

__all__ = ["CompletionWriter", "joined"]


class CompletionWriter:
    """Turns the events of one request's answers into choices; counts them and their text."""

    def __init__(self, model: LoadedModel, body: CompletionBody, requests: Sequence[CompletionRequest]) -> None:
        self._model = model
        self._requests = requests
        self._n = requests[0].options.choices
        self._echo = bool(body.echo)
        self._with_logprobs = body.logprobs is not None
        self._lengths: dict[int, int] = {}  # characters of each choice so far
        self._ends: list[list[AnswerEnd]] = [[] for _ in requests]
        self._id, self._created = new_id("cmpl-"), now_s()

    async def choices(self, prompt: int, events: Sequence[Event]) -> list[CompletionChoice]:
        """What ``events`` of the answers to prompt number ``prompt`` add."""
        found = []
        for event in events:
            index = prompt * self._n + event.choice
            if index not in self._lengths:
                self._lengths[index] = 0
                if self._echo:
                    found.append(CompletionChoice(index, await self._prompt_text(prompt)))
            if isinstance(event, AnswerEnd):
                self._ends[prompt].append(event)
                found.append(CompletionChoice(index, "", None, finish_reason(event)))
            elif isinstance(event, TextPart) and (event.text or self._with_logprobs):
                found.append(CompletionChoice(index, event.text, await self._logprobs(index, event)))
                self._lengths[index] += len(event.text)
        return found

    def completion(self, choices: list[CompletionChoice], *, with_usage: bool = False) -> Completion:
        """``choices`` as they are sent."""
        return Completion(
            id=self._id,
            object="text_completion",
            created=self._created,
            model=self._model.name,
            choices=choices,
            system_fingerprint=fingerprint(self._model),
            usage=usage_of(self._ends) if with_usage else None,
        )

    async def _prompt_text(self, prompt: int) -> str:
        given = self._requests[prompt].prompt
        if isinstance(given, str):
            return given
        pieces = await self._model.engine.in_thread(self._model.engine.token_bytes, given)
        return b"".join(pieces).decode("utf-8", "replace")

    async def _logprobs(self, index: int, event: TextPart) -> CompletionLogprobs | None:
        if not self._with_logprobs:
            return None
        named = await name_logprobs(self._model.engine, event.token_ids, event.logprobs)
        offset = self._lengths[index]
        offsets = []
        for entry in named:
            offsets.append(offset)
            offset += len(entry.token)
        return CompletionLogprobs(
            [entry.token for entry in named],
            [entry.logprob for entry in named],
            [{top.token: top.logprob for top in entry.top_logprobs} for entry in named],
            offsets,
        )


def joined(parts: Sequence[CompletionChoice]) -> CompletionChoice:
    """The pieces of one choice as a whole."""
    logprobs = [part.logprobs for part in parts if part.logprobs is not None]
    whole = CompletionLogprobs(
        [token for each in logprobs for token in each.tokens],
        [value for each in logprobs for value in each.token_logprobs],
        [top for each in logprobs for top in each.top_logprobs],
        [offset for each in logprobs for offset in each.text_offset],
    )
    reason = next((part.finish_reason for part in parts if part.finish_reason is not None), None)
    return CompletionChoice(parts[0].index, "".join(part.text for part in parts), whole if logprobs else None, reason)
