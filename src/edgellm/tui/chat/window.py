"""Which messages the model is given, where they are more than its context holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from edgellm.tui.chat.records import Message

__all__ = ["Sent", "Window", "first_sent", "learned", "shorter"]

_CHARACTERS_PER_TOKEN = 3.0  # before anything was counted; a little low, to be on the safe side
_OVERHEAD_TOKENS = 8  # of a message: what the template writes around it
_ANSWER_SHARE = 4  # a quarter of the context is kept for the answer, where no limit was set
_FILLED = 0.6  # of the room for messages is used after some were left out: the next ones leave none out


class Sent(NamedTuple):
    """A message as it counts here."""

    id: int
    is_user: bool
    characters: int


class Window(NamedTuple):
    """What is known of the context: its size, and how many characters a token has on average."""

    context_tokens: int = 0  # 0: nobody said so yet
    characters_per_token: float = _CHARACTERS_PER_TOKEN


def learned(answer: Message | None, characters: int, messages: int) -> Window:
    """What ``answer`` tells, for which so many characters in so many messages were computed, itself included."""
    if answer is None or answer.stats is None:
        return Window(answer.context if answer is not None else 0)
    tokens = answer.stats.prompt_tokens + answer.stats.generated_tokens - messages * _OVERHEAD_TOKENS
    ratio = characters / tokens if tokens > 0 and characters > 0 else _CHARACTERS_PER_TOKEN
    return Window(answer.context, min(max(ratio, 0.5), 8.0))


def first_sent(
    messages: Sequence[Sent], system_characters: int, window: Window, most_tokens: int | None, before: int | None
) -> int:
    """The index of the first message to send: 0 while all fit.

    ``before`` is the index that the last answer began with: it stays while that fits, so that what the model computed
    is of use again. An answer is left room for ``most_tokens``, or a share of the context.
    """
    start = before or 0
    if not window.context_tokens:
        return start
    context = window.context_tokens
    reserve = min(most_tokens or context // _ANSWER_SHARE, context // 2)
    room = context - reserve - system_characters / window.characters_per_token
    if _tokens(messages[start:], window) <= room:
        return start
    room *= _FILLED
    while start < len(messages) - 1 and _tokens(messages[start:], window) > room:
        start += 1
    return _at_user(messages, start)


def shorter(messages: Sequence[Sent], start: int) -> int | None:
    """A later index, for when the server says that it is too long: half as many messages. None when only the last one
    is left."""
    left = len(messages) - start
    return _at_user(messages, start + max(1, left // 2)) if left > 1 else None


def _at_user(messages: Sequence[Sent], start: int) -> int:
    """Templates want a user's message first."""
    later = next((index for index in range(start, len(messages)) if messages[index].is_user), None)
    if later is not None:
        return later
    return next((index for index in range(start, -1, -1) if messages[index].is_user), start)


def _tokens(messages: Sequence[Sent], window: Window) -> float:
    return sum(each.characters for each in messages) / window.characters_per_token + _OVERHEAD_TOKENS * len(messages)
