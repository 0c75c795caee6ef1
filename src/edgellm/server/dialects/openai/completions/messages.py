"""Requests and answers of completions."""

from __future__ import annotations

import msgspec

from edgellm.server.dialects.openai.formats import ResponseFormat
from edgellm.server.dialects.openai.options import GenerationFields
from edgellm.server.dialects.openai.texts import Texts
from edgellm.server.dialects.openai.usage import Usage

__all__ = ["Completion", "CompletionBody", "CompletionChoice", "CompletionLogprobs"]


class CompletionBody(GenerationFields, kw_only=True):
    """The body of POST /v1/completions."""

    prompt: Texts
    max_tokens: int | None = 16
    logprobs: int | None = None
    echo: bool | None = None
    suffix: str | None = None
    best_of: int | None = None
    response_format: ResponseFormat | None = None


class CompletionLogprobs(msgspec.Struct):
    """Of the generated tokens. ``text_offset`` counts characters of the text."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class CompletionChoice(msgspec.Struct):
    """One of the answers, or a piece of it."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None = None
    finish_reason: str | None = None


class Completion(msgspec.Struct, omit_defaults=True):
    """Answers, or pieces of them."""

    id: str
    object: str
    created: int
    model: str
    choices: list[CompletionChoice]
    system_fingerprint: str
    usage: Usage | None = None
