"""What clients of llama-server read."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from edgellm.server.dialects.llamacpp.settings import GenerationSettings
from edgellm_runtimes.generation import GenerationStats

__all__ = [
    "Applied",
    "Completion",
    "CompletionPart",
    "Content",
    "ErrorAnswer",
    "ErrorDetail",
    "Prompted",
    "StopType",
    "TextEmbedding",
    "Timings",
    "TokenPiece",
    "TokenProbability",
    "Tokens",
    "nested_fields",
    "timings_of",
]

StopType = Literal["none", "eos", "word", "limit"]


class Timings(msgspec.Struct, frozen=True, omit_defaults=True):
    """How long prompt and answer took, in milliseconds and in tokens per second."""

    cache_n: int  # tokens of the prompt that were not computed again
    prompt_n: int
    prompt_ms: float
    prompt_per_token_ms: float
    prompt_per_second: float
    predicted_n: int
    predicted_ms: float
    predicted_per_token_ms: float
    predicted_per_second: float
    draft_n: int = 0
    draft_n_accepted: int = 0


def timings_of(stats: GenerationStats) -> Timings:
    """The timings of an answer. The first token is the prompt's: steps are one fewer than tokens."""
    computed, steps = stats.prompt_tokens - stats.cached_tokens, max(stats.generated_tokens - 1, 0)
    return Timings(
        cache_n=stats.cached_tokens,
        prompt_n=computed,
        prompt_ms=stats.prompt_s * 1e3,
        prompt_per_token_ms=stats.prompt_s * 1e3 / computed if computed else 0.0,
        prompt_per_second=stats.prompt_tokens_per_s,
        predicted_n=stats.generated_tokens,
        predicted_ms=stats.decode_s * 1e3,
        predicted_per_token_ms=stats.decode_s * 1e3 / steps if steps else 0.0,
        predicted_per_second=stats.decode_tokens_per_s,
        draft_n=stats.drafted_tokens,
        draft_n_accepted=stats.accepted_tokens,
    )


class TokenProbability(msgspec.Struct, frozen=True):
    """A token with its log-probability, or after sampling its probability. ``top_...`` are the likeliest ones."""

    id: int
    token: str
    bytes: list[int]
    logprob: float | msgspec.UnsetType = msgspec.UNSET
    prob: float | msgspec.UnsetType = msgspec.UNSET
    top_logprobs: list[TokenProbability] | msgspec.UnsetType = msgspec.UNSET
    top_probs: list[TokenProbability] | msgspec.UnsetType = msgspec.UNSET


class CompletionPart(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a stream."""

    index: int
    content: str
    tokens: tuple[int, ...]
    stop: bool
    id_slot: int
    tokens_predicted: int
    tokens_evaluated: int  # of the prompt
    timings: Timings | msgspec.UnsetType = msgspec.UNSET
    completion_probabilities: list[TokenProbability] | msgspec.UnsetType = msgspec.UNSET


class Completion(CompletionPart, frozen=True, kw_only=True):
    """A whole answer, and the last piece of a stream."""

    model: str
    generation_settings: GenerationSettings
    prompt: str
    has_new_line: bool
    truncated: bool
    stop_type: StopType
    stopping_word: str
    tokens_cached: int


class TokenPiece(msgspec.Struct, frozen=True):
    """A token with its text, or its bytes where they are no text."""

    id: int
    piece: str | list[int]


class Tokens(msgspec.Struct, frozen=True):
    """The answer of /tokenize."""

    tokens: list[int | TokenPiece]


class Content(msgspec.Struct, frozen=True):
    """The answer of /detokenize."""

    content: str


class Prompted(msgspec.Struct, frozen=True):
    """The answer of /apply-template."""

    prompt: str


class TextEmbedding(msgspec.Struct, frozen=True):
    """The vector of one text, the only row of ``embedding``."""

    index: int
    embedding: list[list[float]]


class Applied(msgspec.Struct, frozen=True):
    """The answer to a change."""

    success: bool


class ErrorDetail(msgspec.Struct, frozen=True):
    """What went wrong; the counts are of a prompt that is too long."""

    code: int
    message: str
    type: str
    n_prompt_tokens: int | msgspec.UnsetType = msgspec.UNSET
    n_ctx: int | msgspec.UnsetType = msgspec.UNSET


class ErrorAnswer(msgspec.Struct, frozen=True):
    """An error."""

    error: ErrorDetail


def nested_fields(paths: tuple[str, ...], answer: Any) -> dict[str, Any]:
    """The fields of ``answer`` that ``paths`` name (``generation_settings/seed``); those that are not there are left
    out."""
    found = {}
    whole = msgspec.to_builtins(answer)
    for path in paths:
        value = whole
        for name in path.split("/"):
            if not isinstance(value, dict) or name not in value:
                break
            value = value[name]
        else:
            found[path] = value
    return found
