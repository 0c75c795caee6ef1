"""From events to the lines of an answer, in chat's form and in generate's."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from edgellm.server.dialects.ollama.lines import (
    CalledFunction,
    CalledTool,
    Line,
    Logprob,
    ReplyMessage,
    end_fields,
    now_text,
)
from edgellm.server.dialects.ollama.logprobs import named_logprobs
from edgellm.server.generation.calls.call import Call, call_json
from edgellm.server.generation.events import (
    AnswerEnd,
    Event,
    TextPart,
    ThinkingPart,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
)
from edgellm.server.generation.gathering import CallGatherer
from edgellm.server.models.loaded import LoadedModel

__all__ = ["ChatReply", "GenerateReply", "Piece", "Reply", "add_piece", "read_events"]


class Piece(msgspec.Struct):
    """What came together: texts, calls, and the end if it came."""

    text: str = ""
    thinking: str = ""
    calls: list[CalledTool] = []
    logprobs: list[Logprob] = []
    token_ids: list[int] = []
    end: AnswerEnd | None = None


async def read_events(model: LoadedModel, events: Sequence[Event], gatherer: CallGatherer) -> Piece:
    """``events`` as one piece. Calls are told when they are whole: clients make them without asking how an answer
    ended. One that was cut off is none; one whose arguments are no JSON is text."""
    piece = Piece()
    broken = ""
    for event in events:
        match event:
            case TextPart() | ThinkingPart():
                if isinstance(event, TextPart):
                    piece.text += event.text
                else:
                    piece.thinking += event.text
                piece.token_ids.extend(event.token_ids)
                if event.logprobs:
                    piece.logprobs += await named_logprobs(model.engine, event.token_ids, event.logprobs)
            case ToolCallStart() | ToolCallDelta() | ToolCallEnd():
                call = gatherer.take(event)
                if call is not None and call.is_whole:
                    function = CalledFunction(call.index, call.name, json.loads(call.arguments))
                    piece.calls.append(CalledTool(call.id, function))
                elif call is not None:
                    broken += call_json(Call(call.name, call.arguments))
            case AnswerEnd():
                piece.end = event
    if piece.end is None or piece.end.reason not in ("length", "deadline"):
        piece.text += broken
    return piece


def add_piece(whole: Piece, piece: Piece) -> None:
    """Append ``piece`` to ``whole``."""
    whole.text += piece.text
    whole.thinking += piece.thinking
    whole.calls += piece.calls
    whole.logprobs += piece.logprobs
    whole.token_ids += piece.token_ids
    whole.end = piece.end or whole.end


class Reply:
    """How the lines of one answer look. ``model`` is what the client calls it."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.begun = time.monotonic()

    def part(self, piece: Piece) -> Line:
        """A line in the middle."""
        return Line(model=self.model, created_at=now_text(), done=False, logprobs=piece.logprobs, **self.content(piece))

    def last(self, piece: Piece, load_s: float, context: Sequence[int]) -> Line:
        """The last line, with what ``piece`` still holds; of an answer that is not streamed the only one."""
        assert piece.end is not None
        return Line(
            model=self.model,
            created_at=now_text(),
            done=True,
            logprobs=piece.logprobs,
            context=list(context),
            **self.content(piece),
            **end_fields(piece.end, begun=self.begun, load_s=load_s),
        )

    def without_answer(self, reason: str) -> Line:
        """For a request that only loads or unloads."""
        return Line(model=self.model, created_at=now_text(), done=True, done_reason=reason, **self.content(Piece()))

    def content(self, piece: Piece) -> dict[str, Any]:
        """The fields that hold what was said."""
        raise NotImplementedError


class ChatReply(Reply):
    """With a ``message``."""

    def content(self, piece: Piece) -> dict[str, Any]:
        """See Reply."""
        return {"message": ReplyMessage("assistant", piece.text, piece.thinking, piece.calls)}


class GenerateReply(Reply):
    """With a ``response``."""

    def content(self, piece: Piece) -> dict[str, Any]:
        """See Reply."""
        return {"response": piece.text, "thinking": piece.thinking, "tool_calls": piece.calls}
