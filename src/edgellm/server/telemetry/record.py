"""What is known about one request: written while it is answered, read by the access log when it is over."""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import TYPE_CHECKING

import msgspec

from edgellm.server.caller import LOCAL, Caller
from edgellm.server.limits import Limits

if TYPE_CHECKING:
    from edgellm.server.generation.request import ChatRequest, CompletionRequest
    from edgellm.server.telemetry.telemetry import Telemetry
    from edgellm_runtimes.generation import GenerationStats

__all__ = ["RequestRecord", "current_record", "set_current_record"]

_LONGEST_CONTENT = 1 << 20  # characters of a prompt or an answer


class RequestRecord:
    """One request. Times are those of time.perf_counter. ``content`` is kept where the server logs content."""

    __slots__ = (
        "_answer_size",
        "answer",
        "begun",
        "cached_tokens",
        "caller",
        "first_s",
        "generated_tokens",
        "id",
        "is_complete",
        "keeps_content",
        "method",
        "model",
        "path",
        "peer",
        "prompt",
        "prompt_tokens",
        "sent_bytes",
        "status",
        "telemetry",
    )

    def __init__(
        self,
        id: str,
        method: str,
        path: str,
        peer: str,
        *,
        telemetry: Telemetry | None = None,
        keeps_content: bool = False,
    ) -> None:
        self.id = id
        self.method = method
        self.path = path
        self.peer = peer
        self.telemetry = telemetry
        self.keeps_content = keeps_content
        self.begun = time.perf_counter()
        self.caller: Caller = LOCAL
        self.status = 0  # until a response has begun
        self.sent_bytes = 0
        self.is_complete = False
        self.first_s: float | None = None  # from the request to its first token
        self.model: str | None = None
        self.prompt_tokens = 0
        self.cached_tokens = 0
        self.generated_tokens = 0
        self.prompt: str | None = None
        self.answer: list[str] = []
        self._answer_size = 0

    def count(self, stats: GenerationStats) -> None:
        """Add an answer that is complete."""
        self.prompt_tokens = stats.prompt_tokens  # of several choices it is the same prompt
        self.cached_tokens = max(self.cached_tokens, stats.cached_tokens)
        self.generated_tokens += stats.generated_tokens

    @property
    def limits(self) -> Limits:
        """Of the server that got it."""
        return Limits() if self.telemetry is None else self.telemetry.limits

    def keep_prompt(self, request: ChatRequest | CompletionRequest) -> None:
        """Remember what was asked, where the server logs content."""
        if self.keeps_content:
            content = request.messages if hasattr(request, "messages") else request.prompt
            text = content if isinstance(content, str) else msgspec.json.encode(content).decode("utf-8")
            self.prompt = text[:_LONGEST_CONTENT]

    def keep_answer(self, text: str) -> None:
        """Likewise a piece of the answer."""
        if self.keeps_content and self._answer_size < _LONGEST_CONTENT:
            self.answer.append(text)
            self._answer_size += len(text)


_current: ContextVar[RequestRecord | None] = ContextVar("edgellm_request", default=None)


def set_current_record(record: RequestRecord) -> None:
    """For the task of this request and those that it starts."""
    _current.set(record)


def current_record() -> RequestRecord:
    """The record of the request that this task answers; a new one where there is no request."""
    return _current.get() or RequestRecord("", "", "", "")
