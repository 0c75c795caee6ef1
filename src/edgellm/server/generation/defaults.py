"""What a bundle adds to the requests that its model gets: system prompt, first messages, stop texts, adapters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from edgellm.bundle.plan import Plan
from edgellm.server.generation.request import ChatRequest
from edgellm_runtimes.generation import AdapterUse

__all__ = ["default_adapters", "default_stop", "with_bundle_defaults"]

_SYSTEM = ("system", "developer")


def with_bundle_defaults(plan: Plan, request: ChatRequest) -> ChatRequest:
    """``request`` behind the messages of the bundle. System messages of its own replace the bundle's."""
    own = [message for message in request.messages if message.get("role") in _SYSTEM]
    added: list[Mapping[str, Any]] = []
    if plan.system_prompt is not None and not own:
        added.append({"role": "system", "content": plan.system_prompt.text})
    for message in plan.chat.messages if plan.chat is not None else ():
        if message.role not in _SYSTEM or not own:
            added.append({"role": message.role, "content": message.content})
    if not added:
        return request
    rest = [message for message in request.messages if message.get("role") not in _SYSTEM]
    return msgspec.structs.replace(request, messages=(*own, *added, *rest))


def default_stop(plan: Plan) -> tuple[str, ...]:
    """The stop texts of requests that name none."""
    return plan.chat.stop if plan.chat is not None else ()


def default_adapters(plan: Plan) -> tuple[AdapterUse, ...]:
    """The adapters of requests that name none."""
    return tuple(AdapterUse(name) for name in plan.chat.adapters) if plan.chat is not None else ()
