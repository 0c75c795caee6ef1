"""The events of one answer, as its text is read."""

from __future__ import annotations

from collections.abc import Sequence

from edgellm.server.generation.calls.call import new_call_id
from edgellm.server.generation.calls.pieces import CallDelta, CallEnd, CallPiece, CallStart
from edgellm.server.generation.events import (
    AnswerEnd,
    Event,
    TextPart,
    ThinkingPart,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
)
from edgellm.server.generation.reading.harmony import HarmonyReader
from edgellm.server.generation.reading.reader import AnswerReader, Piece
from edgellm_runtimes.generation import Chunk
from edgellm_runtimes.sampler import TokenLogprobs

__all__ = ["ChoiceEvents"]


class ChoiceEvents:
    """Turns the chunks of one choice into events.

    Tokens go with the first text that is given after they came; those of calls and of markers go with none.
    """

    def __init__(self, reader: AnswerReader | HarmonyReader, index: int, short_ids: bool) -> None:
        self._reader = reader
        self._index = index
        self._short_ids = short_ids
        self._tokens: list[int] = []
        self._logprobs: list[TokenLogprobs] = []
        self._n_thinking = 0
        self._n_calls = 0

    def take(self, chunk: Chunk) -> list[Event]:
        """The events that ``chunk`` makes certain."""
        reader = self._reader
        was_thinking = reader.is_thinking
        found = reader.push(chunk.text)
        if was_thinking or reader.is_thinking:
            self._n_thinking += len(chunk.token_ids)
        if chunk.finish_reason is not None:
            found += reader.finish(is_cut=chunk.finish_reason in ("length", "deadline"))
        self._tokens += chunk.token_ids
        self._logprobs += chunk.logprobs
        events = self._events(found)
        if chunk.finish_reason is not None:
            assert chunk.stats is not None
            is_call = self._n_calls > 0 and chunk.finish_reason == "stop"
            reason = "tool_calls" if is_call else chunk.finish_reason
            events.append(AnswerEnd(reason, chunk.stats, chunk.stop_string, self._n_thinking, self._index))
        return events

    def _events(self, found: Sequence[Piece | CallPiece]) -> list[Event]:
        events: list[Event] = []
        for piece in found:
            tokens, logprobs = tuple(self._tokens), tuple(self._logprobs)
            self._tokens.clear()
            self._logprobs.clear()
            if isinstance(piece, CallStart):
                call_id = piece.id or new_call_id(short=self._short_ids)
                events.append(ToolCallStart(self._n_calls, call_id, piece.name, self._index))
                self._n_calls += 1
            elif isinstance(piece, CallDelta):
                events.append(ToolCallDelta(self._n_calls - 1, piece.arguments, self._index))
            elif isinstance(piece, CallEnd):
                events.append(ToolCallEnd(self._n_calls - 1, piece.is_whole, self._index))
            elif piece.kind == "text":
                events.append(TextPart(piece.text, tokens, logprobs, self._index))
            else:
                events.append(ThinkingPart(piece.text, tokens, logprobs, self._index))
        return events
