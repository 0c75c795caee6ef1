"""The prompt of a chat, without an answer."""

from __future__ import annotations

import asyncio

from edgellm.server.generation.request import ChatRequest
from edgellm.server.models.loaded import LoadedModel

__all__ = ["chat_prompt", "count_prompt_tokens"]


async def chat_prompt(model: LoadedModel, request: ChatRequest) -> str:
    """The text that ``answer`` gives to the model. Raises UsageError, BundleError as ``Engine.render``."""
    return await model.engine.render(
        request.messages, tools=request.tools, template_variables=request.template_variables
    )


async def count_prompt_tokens(model: LoadedModel, request: ChatRequest) -> int:
    """How many tokens that text is."""
    text = await chat_prompt(model, request)
    return len(await asyncio.to_thread(model.engine.tokenize, text, add_special=False))
