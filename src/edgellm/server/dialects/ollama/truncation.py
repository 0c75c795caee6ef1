"""Conversations that are longer than the context: the oldest messages are left out."""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from edgellm.server.generation.prompt import count_prompt_tokens
from edgellm.server.generation.request import ChatRequest
from edgellm.server.models.loaded import LoadedModel

__all__ = ["drop_oldest"]

_log = logging.getLogger("edgellm.server")
_ROOM = 16  # tokens for an answer
_FAR_TOO_MANY = 1 << 31
_AROUND = 32  # tokens of a template around a message


async def drop_oldest(model: LoadedModel, asked: ChatRequest) -> ChatRequest:
    """``asked`` with as many of its messages as the context holds: system messages, and the newest of the others.

    The last message stays whatever its length. A tool's result never stands without the call before it.
    """
    context = model.engine.info.context
    if _most_tokens(asked) < context - _ROOM or not model.engine.info.has_chat_template:
        return asked

    async def n_tokens(dropped: int) -> int:
        return await count_prompt_tokens(
            model, msgspec.structs.replace(asked, messages=tuple(_without(asked, dropped)))
        )

    cuts = _cuts(asked)
    low, high = 0, len(cuts) - 1
    while low < high:
        middle = (low + high) // 2
        if await n_tokens(cuts[middle]) <= context - _ROOM:
            high = middle
        else:
            low = middle + 1
    if not cuts[low]:
        return asked
    _log.info("%s: %d of %d messages left out, the context has %d tokens", model.name, cuts[low],
              len(asked.messages), context)  # fmt: skip
    return msgspec.structs.replace(asked, messages=tuple(_without(asked, cuts[low])))


def _most_tokens(asked: ChatRequest) -> int:
    """No text has more tokens than bytes; what a template writes around a message is short."""
    texts = [str(message.get("content")) + str(message.get("tool_calls") or "") for message in asked.messages]
    texts.append(str(asked.tools or ""))
    return sum(len(text.encode("utf-8", "replace")) + _AROUND for text in texts)


def _cuts(asked: ChatRequest) -> list[int]:
    """How many of the other than system messages may be left out, ascending."""
    others = [message for message in asked.messages if message["role"] != "system"]
    found = [0]
    for index in range(1, len(others)):
        if others[index]["role"] != "tool":
            found.append(index)
    return found


def _without(asked: ChatRequest, dropped: int) -> list[Any]:
    kept = []
    for message in asked.messages:
        if message["role"] != "system" and dropped > 0:
            dropped -= 1
            continue
        kept.append(message)
    return kept
