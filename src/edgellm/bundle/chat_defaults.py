"""What a bundle adds to the requests that its model gets: system prompt, first messages, stop texts, adapters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgellm.bundle.plan import Plan

__all__ = ["default_adapters", "default_stop", "with_default_messages"]

_SYSTEM = ("system", "developer")


def with_default_messages(plan: Plan, messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """``messages`` behind those of the bundle. System messages of their own replace the bundle's."""
    own = [message for message in messages if message.get("role") in _SYSTEM]
    added: list[Mapping[str, Any]] = []
    if plan.system_prompt is not None and not own:
        added.append({"role": "system", "content": plan.system_prompt.text})
    for message in plan.chat.messages if plan.chat is not None else ():
        if message.role not in _SYSTEM or not own:
            added.append({"role": message.role, "content": message.content})
    if not added:
        return list(messages)
    rest = [message for message in messages if message.get("role") not in _SYSTEM]
    return [*own, *added, *rest]


def default_stop(plan: Plan) -> tuple[str, ...]:
    """The stop texts of requests that name none."""
    return plan.chat.stop if plan.chat is not None else ()


def default_adapters(plan: Plan) -> tuple[str, ...]:
    """The adapters of requests that name none."""
    return plan.chat.adapters if plan.chat is not None else ()
