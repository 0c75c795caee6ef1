"""Completions of OpenAI's as requests in no dialect."""

from __future__ import annotations

from edgellm.errors import UsageError
from edgellm.server.dialects.openai.completions.messages import CompletionBody
from edgellm.server.dialects.openai.formats import format_grammar
from edgellm.server.dialects.openai.options import answer_options
from edgellm.server.dialects.openai.texts import read_texts
from edgellm.server.generation.request import CompletionRequest

__all__ = ["completion_requests"]

_MOST_PROMPTS = 64
_MOST_LOGPROBS = 20


def completion_requests(body: CompletionBody, scope: str) -> list[CompletionRequest]:
    """One request for each prompt. Raises UsageError for what is off, and for what is not to be had."""
    if body.suffix:
        raise UsageError("suffix is not possible: text is continued, not filled in", hint="leave suffix out")
    if body.best_of is not None and body.best_of != (body.n or 1):
        raise UsageError("best_of is not possible", hint="ask for n answers and choose among them")
    if body.echo and body.logprobs is not None:
        raise UsageError("echo is not possible with logprobs: those of the prompt are not computed")
    if body.logprobs is not None and not 0 <= body.logprobs <= _MOST_LOGPROBS:
        raise UsageError(f"logprobs is {body.logprobs}; it must be 0 to {_MOST_LOGPROBS}")
    options = answer_options(
        body,
        max_tokens=body.max_tokens,
        logprobs=body.logprobs,
        grammar=format_grammar(body.response_format),
        scope=scope,
    )
    return [
        CompletionRequest(prompt=prompt, options=options) for prompt in read_texts(body.prompt, "prompt", _MOST_PROMPTS)
    ]
