"""Prompts and answers that do not fit the context."""

from __future__ import annotations

from collections.abc import Sequence

from edgellm.errors import UsageError
from edgellm_runtimes.generation import GenerationOptions

__all__ = ["fit_prompt", "tokens_to_drop"]

_ANSWER_SHARE = 4  # of the context, that a cut prompt leaves to an answer without a limit


def fit_prompt(prompt: Sequence[int], options: GenerationOptions, n_context: int) -> tuple[list[int], int]:
    """The tokens to compute, and how many were taken out after the first ``options.keep``.

    Raises UsageError for a prompt that is empty, that is too long where nothing may be taken out, or whose kept tokens
    alone fill the context.
    """
    if not len(prompt):
        raise UsageError("the prompt is empty")
    if len(prompt) < n_context:
        return list(prompt), 0
    if options.overflow == "error":
        raise UsageError(
            f"the prompt has {len(prompt)} tokens; the context of {n_context} must hold it and a new token",
            hint="shorten the prompt or begin a new conversation, load the model with a larger context, or let the "
            "middle of the prompt be taken out (overflow: truncate)",
        )
    answer = min(options.sampling.max_tokens or n_context, max(1, n_context // _ANSWER_SHARE))
    newest = n_context - options.keep - answer
    if newest < 1:
        raise UsageError(
            f"{options.keep} tokens are to be kept; the context of {n_context} must hold them and an answer",
            hint="keep fewer tokens, or load the model with a larger context",
        )
    return [*prompt[: options.keep], *prompt[len(prompt) - newest :]], len(prompt) - options.keep - newest


def tokens_to_drop(keep: int, n_context: int) -> int:
    """How many tokens after the first ``keep`` make room in a full context: half of those that may go."""
    return max(1, (n_context - keep) // 2)
