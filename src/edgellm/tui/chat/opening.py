"""Which conversation a chat begins with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from edgellm.api.chat import Thinking
from edgellm.errors import BusyError, EdgeLLMError, NotFoundError
from edgellm.tui.chat.conversation import Conversation
from edgellm.tui.chat.conversations import Conversations
from edgellm.tui.chat.records import Attachment, ChatSettings

__all__ = ["ChatStart", "Opening", "open_conversation", "preset_path"]


@dataclass(frozen=True)
class Opening:
    """What a command line says about a chat. None, and what is empty, is as the conversation has it."""

    model: str | None = None
    system: str | None = None
    sampling: dict[str, Any] = field(default_factory=dict)
    schema: str | None = None
    thinking: Thinking = None
    context: int | None = None
    go_on: bool = False  # with the conversation that was used last
    conversation: str | None = None  # its id, number, title or a part of that
    attachments: tuple[Attachment, ...] = ()

    @property
    def is_from_before(self) -> bool:
        """True where a conversation is opened, and none begun."""
        return self.go_on or self.conversation is not None


class ChatStart(NamedTuple):
    """How a chat on a screen begins. Without ``conversations`` they are kept as the settings say."""

    conversations: Conversations | None = None
    opening: Opening = Opening()


def open_conversation(conversations: Conversations, opening: Opening) -> Conversation:
    """The conversation that is meant, with the settings that were given.

    A new one takes the model from the one that was used last, unless another is named; one in which something was typed
    and nothing said yet is gone on with. Raises NotFoundError, UsageError, BusyError.
    """
    if opening.conversation is not None:
        conversation = conversations.open(conversations.find(opening.conversation))
    elif opening.go_on:
        conversation = _last(conversations)
    else:
        typed = _draft(conversations)
        conversation = conversations.begin(ChatSettings(model=_last_model(conversations))) if typed is None else typed
    given = {
        "model": opening.model,
        "system": opening.system,
        "schema": opening.schema,
        "thinking": opening.thinking,
        "context": opening.context,
        "sampling": conversation.settings.sampling | opening.sampling if opening.sampling else None,
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    settings = msgspec.structs.replace(conversation.settings, **chosen)
    if settings != conversation.settings:
        conversation.set(settings=settings)
    return conversation


def preset_path(state: Path) -> Path:
    """Where a user's presets are."""
    return state / "chat-presets.json"


def _last(conversations: Conversations) -> Conversation:
    summaries = conversations.summaries()
    if not summaries:
        raise NotFoundError("there is no conversation to go on with", hint="begin one: edgellm chat NAME")
    return conversations.open(summaries[0].id)


def _draft(conversations: Conversations) -> Conversation | None:
    for summary in conversations.summaries():
        if not summary.messages:
            try:
                conversation = conversations.open(summary.id)
            except (BusyError, NotFoundError):  # somebody types there now
                continue
            return conversation
    return None


def _last_model(conversations: Conversations) -> str:
    try:
        return next((each.model for each in conversations.summaries() if each.model), "")
    except EdgeLLMError:
        return ""
