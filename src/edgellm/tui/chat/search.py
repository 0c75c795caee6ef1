"""A text in all conversations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from edgellm.errors import EdgeLLMError
from edgellm.tui.chat.conversations import Conversations
from edgellm.tui.chat.summaries import Summary

__all__ = ["Found", "search"]

_AROUND = 32  # characters


class Found(NamedTuple):
    """A conversation with the text: in its title (then ``message`` is None), or first in this message."""

    summary: Summary
    message: int | None
    excerpt: str  # on one line


def search(conversations: Conversations, text: str) -> Iterator[Found]:
    """The conversations that have ``text`` in their title, a message or an attachment's name, whatever its case.

    Only what is shown of each counts. The one that was used last comes first.
    """
    wanted = " ".join(text.split()).casefold()
    if not wanted:
        return
    for summary in conversations.summaries():
        if wanted in summary.title.casefold():
            yield Found(summary, None, summary.title)
        elif (found := _first_in(conversations, summary, wanted)) is not None:
            yield found


def _first_in(conversations: Conversations, summary: Summary, wanted: str) -> Found | None:
    try:
        conversation = conversations.open(summary.id, read_only=True)
    except EdgeLLMError:  # deleted just now
        return None
    try:
        for message in conversation.messages():
            for said in (message.text, *(each.name for each in message.attachments)):
                line = " ".join(said.split())
                start = line.casefold().find(wanted)
                if start >= 0:
                    return Found(summary, message.id, _excerpt(line, start, len(wanted)))
    finally:
        conversation.close()
    return None


def _excerpt(line: str, start: int, size: int) -> str:
    first, last = max(0, start - _AROUND), start + size + _AROUND
    return f"{'…' if first else ''}{line[first:last]}{'…' if last < len(line) else ''}"
