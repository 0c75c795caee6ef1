"""Messages to a prompt, with the model's own chat template."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from edgellm.errors import BundleError, UsageError
from edgellm.units import format_bytes

__all__ = ["Message", "render_chat", "render_chat_async"]

Message = Mapping[str, Any]

TEMPLATE_LIMIT_BYTES = 2**20
OUTPUT_LIMIT_CHARACTERS = 4 * 2**20
TIMEOUT_S = 2.0

_TEMPLATE_HINT = "the template is damaged or hostile: use --raw, or pack the model with another chat template"


def render_chat(
    template: str | None,
    messages: Sequence[Message],
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
    add_generation_prompt: bool = True,
    bos_token: str = "",
    eos_token: str = "",
    variables: Mapping[str, Any] | None = None,
    timeout_s: float = TIMEOUT_S,
    now: datetime | None = None,
) -> str:
    """The prompt for ``messages``: what Hugging Face's apply_chat_template gives for the same input.

    ``variables`` are further names that the template can read (``enable_thinking``, ``documents``). The template runs
    in a child process that is ended after ``timeout_s`` seconds; this call blocks for as long. ``now`` is what it takes
    for the present.
    Raises UsageError for messages that are malformed or that the template refuses, and when there is no template;
    BundleError for a template that is broken, hostile, or does not end.
    """
    if template is None:
        raise UsageError(
            "this model has no chat template", hint="use --raw to give the prompt to the model as it is (base models)"
        )
    if len(template.encode("utf-8", "surrogatepass")) > TEMPLATE_LIMIT_BYTES:
        raise BundleError(f"the chat template is larger than {format_bytes(TEMPLATE_LIMIT_BYTES)}", hint=_TEMPLATE_HINT)
    _check_messages(messages)
    from edgellm_runtimes.template_process import shared_process

    names = {
        **(variables or {}),
        "messages": [dict(message) for message in messages],
        "tools": [dict(tool) for tool in tools] if tools else None,
        "documents": (variables or {}).get("documents"),
        "add_generation_prompt": add_generation_prompt,
        "bos_token": bos_token,
        "eos_token": eos_token,
    }
    answer = shared_process().render(
        template, names, timeout_s=timeout_s, limit_characters=OUTPUT_LIMIT_CHARACTERS, now=now
    )
    if "text" in answer:
        return answer["text"]
    kind, reason = answer["kind"], answer["error"]
    if kind == "raised":
        raise UsageError(f"the model's chat template refuses these messages: {reason}")
    raise BundleError(f"the model's chat template failed: {reason}", hint=_TEMPLATE_HINT)


async def render_chat_async(template: str | None, messages: Sequence[Message], **options: Any) -> str:
    """``render_chat`` without blocking the event loop."""
    return await asyncio.to_thread(render_chat, template, messages, **options)


def _check_messages(messages: Sequence[Message]) -> None:
    if isinstance(messages, str | bytes | Mapping) or not messages:
        raise UsageError("messages must be a list with at least one message")
    for number, message in enumerate(messages):
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise UsageError(f"message {number} must be an object with a role")
        if not isinstance(message.get("content"), str | list | None):
            raise UsageError(f"the content of message {number} must be text or a list of parts")
