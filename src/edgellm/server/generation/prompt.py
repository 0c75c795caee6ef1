"""A chat as the tokens that the model is given."""

from __future__ import annotations

from typing import Any, NamedTuple

from edgellm.errors import UsageError
from edgellm.server.generation.profile import ChatProfile, chat_profile
from edgellm.server.generation.request import ChatRequest, with_bundle_defaults
from edgellm.server.generation.templates.content import text_of
from edgellm.server.generation.templates.messages import Messages, adapt_messages
from edgellm.server.models.loaded import LoadedModel
from edgellm_runtimes.engine import Engine

__all__ = ["ChatPrompt", "chat_prompt", "count_prompt_tokens", "render_prompt"]


class ChatPrompt(NamedTuple):
    """``in_thinking``: it has begun a thought."""

    text: str
    in_thinking: bool


async def chat_prompt(model: LoadedModel, request: ChatRequest) -> str:
    """The text that the model is given for ``request``. Raises what ``render_prompt`` raises."""
    request = with_bundle_defaults(model.bundle.plan, request)
    return (await render_prompt(model.engine, await chat_profile(model.engine), request)).text


async def count_prompt_tokens(model: LoadedModel, request: ChatRequest) -> int:
    """How many tokens that text is."""
    return len(await model.engine.prompt_tokens(await chat_prompt(model, request), add_special=False))


async def render_prompt(engine: Engine, profile: ChatProfile, request: ChatRequest) -> ChatPrompt:
    """The prompt of ``request``. Raises UsageError for messages that the template refuses, BundleError for a template
    that is broken."""
    if not request.messages:
        raise UsageError("there are no messages")
    tools = request.tools if request.tool_choice != "none" else ()
    messages, given = adapt_messages(
        request.messages,
        tools,
        profile.abilities,
        profile.calls,
        short_call_ids=profile.traits.short_call_ids,
        thought_key=profile.traits.thought_key,
    )
    continues = request.continue_last and messages[-1]["role"] == "assistant"
    text = await engine.render(
        messages, tools=given, template_variables=_variables(profile, request), add_generation_prompt=not continues
    )
    if continues:
        return ChatPrompt(_up_to_last(text, messages), False)
    markers = profile.traits.thinking
    if markers is None:
        return ChatPrompt(text, False)
    in_thinking = text.rstrip().endswith(markers.opens)
    if request.thinking is False and (in_thinking or not profile.switches):
        text += f"{'' if in_thinking else markers.opens}{markers.gap}{markers.closes}{markers.gap}"
        in_thinking = False
    return ChatPrompt(text, in_thinking)


def _variables(profile: ChatProfile, request: ChatRequest) -> dict[str, Any]:
    variables: dict[str, Any] = {}
    if request.documents:
        variables["documents"] = [dict(document) for document in request.documents]
    if request.thinking is not None:
        variables |= dict.fromkeys(profile.switches, request.thinking is not False)
    if isinstance(request.thinking, str):
        variables |= dict.fromkeys(profile.traits.efforts, request.thinking)
    return variables | dict(request.template_variables)


def _up_to_last(text: str, messages: Messages) -> str:
    """``text`` up to where the last message ends, as transformers does for continue_final_message."""
    last = text_of(messages[-1]["content"])
    place = text.rfind(last.strip())
    if not last.strip() or place < 0:
        raise UsageError("the last message cannot be continued: the model's chat template does not show it as it is")
    length = len(last.lstrip()) if text.startswith(last.lstrip(), place) else len(last.strip())
    return text[: place + length]
