"""Prompts by a template that came with the request, instead of the model's own."""

from __future__ import annotations

import re

from edgellm.errors import UsageError
from edgellm.server.generation.profile import chat_profile
from edgellm.server.generation.prompt import render_prompt
from edgellm.server.generation.request import ChatRequest
from edgellm.server.models.loaded import LoadedModel
from edgellm_runtimes.chat import render_chat_async

__all__ = ["render_with", "require_jinja"]

_GO = re.compile(r"\{\{-?\s*(?:\.[A-Z$]|\$\.|(?:if|range|with|end|else|block|define|template|len|eq|slice|json)\b)")


def require_jinja(template: str) -> None:
    """Raise UsageError for a template of Ollama's own kind, which is written for Go."""
    if _GO.search(template):
        raise UsageError(
            "the template is written for Go's text/template; chat templates are Jinja here",
            hint="leave the template out: the model's own is used, as its authors published it",
        )


async def render_with(model: LoadedModel, asked: ChatRequest, template: str | None) -> str:
    """The prompt for ``asked`` by ``template``, or by the model's own. Raises what rendering raises.

    Besides ``messages`` a template that came with a request may read ``system`` and ``prompt``.
    """
    if not template:
        return (await render_prompt(model.engine, await chat_profile(model.engine), asked)).text
    facts = model.engine.facts
    texts = {message["role"]: message["content"] for message in asked.messages}
    return await render_chat_async(
        template,
        asked.messages,
        bos_token=facts.bos_text,
        eos_token=facts.eos_text,
        variables={"system": texts.get("system", ""), "prompt": texts.get("user", "")},
    )
