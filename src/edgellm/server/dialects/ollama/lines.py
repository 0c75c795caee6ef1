"""What generate and chat answer: one object, or one a line."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import msgspec

from edgellm.server.generation.events import AnswerEnd

__all__ = [
    "CalledFunction",
    "CalledTool",
    "Line",
    "Logprob",
    "ReplyMessage",
    "TopLogprob",
    "encode_line",
    "end_fields",
    "now_text",
]

_NS = 1_000_000_000
_encoder = msgspec.json.Encoder()


class TopLogprob(msgspec.Struct, frozen=True, omit_defaults=True):
    """A token with its log-probability. ``bytes`` is absent where the token is a part of a character."""

    token: str
    logprob: float
    bytes: list[int] = []


class Logprob(msgspec.Struct, frozen=True, omit_defaults=True):
    """A chosen token, and the likeliest ones in its place."""

    token: str
    logprob: float
    bytes: list[int] = []
    top_logprobs: list[TopLogprob] = []


class CalledFunction(msgspec.Struct, frozen=True):
    """The function of a call. ``arguments`` is an object."""

    index: int
    name: str
    arguments: Any


class CalledTool(msgspec.Struct, frozen=True):
    """One call of a tool."""

    id: str
    function: CalledFunction


class ReplyMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """The message of a chat's answer, or a piece of it."""

    role: str
    content: str
    thinking: str = ""
    tool_calls: list[CalledTool] = []


class Line(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A whole answer or a piece of one. ``response`` is generate's, ``message`` chat's. Durations are nanoseconds."""

    model: str
    created_at: str
    response: str | msgspec.UnsetType = msgspec.UNSET
    message: ReplyMessage | msgspec.UnsetType = msgspec.UNSET
    thinking: str = ""
    tool_calls: list[CalledTool] = []
    done: bool
    done_reason: str = ""
    context: list[int] = []
    logprobs: list[Logprob] = []
    total_duration: int | None = None
    load_duration: int | None = None
    prompt_eval_count: int | None = None
    prompt_eval_duration: int | None = None
    eval_count: int | None = None
    eval_duration: int | None = None


def encode_line(line: Any) -> bytes:
    """``line`` as JSON, with the end of the line."""
    return _encoder.encode(line) + b"\n"


def now_text() -> str:
    """The time as RFC 3339 in UTC."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def end_fields(end: AnswerEnd, *, begun: float, load_s: float) -> dict[str, Any]:
    """What the last line says: the reason and the metrics. ``begun`` is of time.monotonic()."""
    stats = end.stats
    return {
        "done_reason": "length" if end.reason in ("length", "deadline") else "stop",
        "total_duration": int((time.monotonic() - begun) * _NS),
        "load_duration": int(load_s * _NS),
        "prompt_eval_count": stats.prompt_tokens,
        "prompt_eval_duration": int(stats.prompt_s * _NS),
        "eval_count": stats.generated_tokens,
        "eval_duration": int(stats.decode_s * _NS),
    }
