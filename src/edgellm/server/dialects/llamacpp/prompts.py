"""Prompts as llama-server takes them: text, token ids, both mixed, one or several."""

from __future__ import annotations

from typing import Any

from edgellm.errors import UsageError
from edgellm.server.dialects.llamacpp.requests import PromptObject, Prompts
from edgellm_runtimes.engine import Engine

__all__ = ["prompt_tokens", "separate_prompts"]

_SHAPE = 'a prompt is text, token ids, a list of both, or an object with "prompt_string"'


def separate_prompts(prompts: Prompts) -> list[Any]:
    """Each of ``prompts``. A list that holds a number is one prompt. Raises UsageError for a list of none."""
    if not isinstance(prompts, list) or any(_is_token(part) for part in prompts):
        return [prompts]
    if not prompts:
        raise UsageError("the list of prompts is empty", hint=_SHAPE)
    return prompts


async def prompt_tokens(
    engine: Engine, prompt: Any, *, add_special: bool = True, parse_special: bool = True
) -> list[int]:
    """The token ids of one prompt; only a text at its start gets a token in front. Raises UsageError for other shapes
    and for text that is far longer than the context."""
    if isinstance(prompt, PromptObject):
        if prompt.multimodal_data:
            raise UsageError("pictures and sounds cannot be read here: models of this server read text")
        prompt = prompt.prompt_string
    parts = [prompt] if isinstance(prompt, str) else prompt
    if not isinstance(parts, list):
        raise UsageError(_SHAPE)
    tokens: list[int] = []
    for index, part in enumerate(parts):
        if _is_token(part):
            tokens.append(part)
        elif isinstance(part, str):
            tokens += await engine.prompt_tokens(
                part, add_special=add_special and index == 0, parse_special=parse_special
            )
        else:
            raise UsageError(f"part {index} of a prompt is neither text nor a token id", hint=_SHAPE)
    return tokens


def _is_token(part: object) -> bool:
    return isinstance(part, int) and not isinstance(part, bool)
