"""Prompts of models that fill a gap between a text and its suffix."""

from __future__ import annotations

import asyncio

from edgellm.errors import UsageError
from edgellm.server.dialects.ollama.facts import model_facts
from edgellm.server.models.loaded import LoadedModel

__all__ = ["infill_prompt"]


async def infill_prompt(model: LoadedModel, prefix: str, suffix: str) -> tuple[int, ...]:
    """The tokens of ``prefix`` and ``suffix`` with the model's own markers. Raises UsageError where it has none."""
    facts = await asyncio.to_thread(model_facts, model.bundle)
    if facts.infill is None:
        raise UsageError(f"{model.name} does not support insert", hint="leave the suffix out, or take a code model")
    before, between, after = facts.infill
    texts = [
        await model.engine.in_thread(model.engine.tokenize, text, add_special=False, parse_special=False)
        for text in (prefix, suffix)
    ]
    return (before, *texts[0], between, *texts[1], after)
