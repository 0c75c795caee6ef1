"""How many tokens a request took."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from edgellm.server.generation.events import AnswerEnd

__all__ = ["CompletionDetails", "PromptDetails", "Usage", "finish_reason", "usage_of"]


class PromptDetails(msgspec.Struct):
    """``cached_tokens``: not computed again."""

    cached_tokens: int = 0


class CompletionDetails(msgspec.Struct):
    """``reasoning_tokens``: of the thoughts."""

    reasoning_tokens: int = 0


class Usage(msgspec.Struct):
    """Tokens of the prompts and of all answers."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails


def usage_of(prompts: Iterable[Iterable[AnswerEnd]]) -> Usage:
    """The usage of the answers to each prompt, whose tokens count once."""
    n_prompt = n_cached = n_completion = n_thinking = 0
    for ends in prompts:
        ended = list(ends)
        n_prompt += max((end.stats.prompt_tokens for end in ended), default=0)
        n_cached += min((end.stats.cached_tokens for end in ended), default=0)
        n_completion += sum(end.stats.generated_tokens for end in ended)
        n_thinking += sum(end.thinking_tokens for end in ended)
    details = PromptDetails(n_cached), CompletionDetails(n_thinking)
    return Usage(n_prompt, n_completion, n_prompt + n_completion, *details)


def finish_reason(end: AnswerEnd) -> str:
    """OpenAI's word for the reason: it has none for a deadline."""
    return "length" if end.reason == "deadline" else end.reason
