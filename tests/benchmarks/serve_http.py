"""A streaming client of /v1/completions: httpx, one connection per request, as little work per event as possible."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import httpx
import msgspec
from serve_load import Ask, Event

__all__ = ["HttpContender", "events_of"]

LEAST_BIAS = -1_000_000.0  # JSON has no -inf


class _Choice(msgspec.Struct):
    text: str | None = ""
    finish_reason: str | None = None


class _Details(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None


class _Timings(msgspec.Struct):
    draft_n: int | None = None
    draft_n_accepted: int | None = None


class _Message(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    timings: _Timings | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Message).decode


class HttpContender:
    """A server that speaks OpenAI's completions API.

    ``forbidden`` maps token ids to their bias; ``text_of`` turns a prompt into text for servers that take no token ids.
    ``exact`` says that the server counts its tokens itself and takes the prompt as it is.
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        forbidden: Mapping[int, float],
        exact: bool = True,
        text_of: Callable[[tuple[int, ...]], str] | None = None,
        model: str = "m",
    ) -> None:
        self.name = name
        self.exact = exact
        self.client_clock = time.process_time
        self._url = f"{url}/v1/completions"
        self._forbidden = {str(token): max(bias, LEAST_BIAS) for token, bias in forbidden.items()}
        self._text_of = text_of
        self._model = model
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        self._client = httpx.AsyncClient(timeout=600, limits=limits)

    async def aclose(self) -> None:
        await self._client.aclose()

    def prepare(self, ask: Ask) -> Callable[[], AsyncIterator[Event]]:
        content = msgspec.json.encode(self.body(ask))
        headers = {"Content-Type": "application/json"}
        request = self._client.build_request("POST", self._url, content=content, headers=headers)
        return lambda: self._answer(request)

    def body(self, ask: Ask) -> dict[str, Any]:
        """The request as JSON: the sampling parameters are those of our side, and what no peer knows it ignores."""
        found: dict[str, Any] = {
            "model": self._model,
            "prompt": self._text_of(ask.prompt) if self._text_of else ask.prompt,
            "max_tokens": ask.tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": ask.temperature,
            "top_k": 40,
            "top_p": 0.95,
            "min_p": 0.05,
            "repeat_penalty": 1.0,
            "seed": ask.seed,
            "ignore_eos": True,
            "logit_bias": self._forbidden,
        }
        if ask.schema is not None:
            found["json_schema"] = msgspec.json.decode(ask.schema)
        return found

    async def _answer(self, request: httpx.Request) -> AsyncIterator[Event]:
        response = await self._client.send(request, stream=True)
        try:
            if response.status_code != 200:
                raise RuntimeError(f"{self.name} said {response.status_code}: {(await response.aread())[:500]!r}")
            async for event in events_of(response.aiter_raw()):
                yield event
        finally:
            await response.aclose()


async def events_of(pieces: AsyncIterator[bytes]) -> AsyncIterator[Event]:
    """The token events of a stream of server-sent events, wherever its pieces are cut; its counts come last."""
    rest = b""
    counts = Event(0)
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line.startswith(b"error"):
                raise RuntimeError(f"the server said: {line!r}")
            if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
                continue
            message = _decode(line[6:])
            if message.error is not None:
                raise RuntimeError(f"the server said: {message.error}")
            for choice in message.choices:
                if choice.text or choice.finish_reason is None:
                    yield Event(1, choice.text or "")
            counts = _counts(message, counts)
    yield counts


def _counts(message: _Message, known: Event) -> Event:
    usage, timings = message.usage, message.timings
    if usage is None and timings is None:
        return known
    usage, timings = usage or _Usage(known.prompt_tokens, known.generated_tokens), timings or _Timings()
    details = usage.prompt_tokens_details
    return Event(
        0,
        prompt_tokens=usage.prompt_tokens,
        generated_tokens=usage.completion_tokens,
        cached_tokens=details.cached_tokens if details is not None else known.cached_tokens,
        drafted_tokens=timings.draft_n if timings.draft_n is not None else known.drafted_tokens,
        accepted_tokens=timings.draft_n_accepted if timings.draft_n is not None else known.accepted_tokens,
    )
