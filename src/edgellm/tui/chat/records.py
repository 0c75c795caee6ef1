"""What a conversation on disk consists of: lines of JSON, each one of these."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from edgellm.api.chat import Thinking
from edgellm_runtimes.generation import GenerationStats

__all__ = [
    "VERSION",
    "Attachment",
    "Begun",
    "ChatSettings",
    "Chosen",
    "Message",
    "Piece",
    "Record",
    "Role",
    "Settled",
    "Started",
]

VERSION = 1
"""Of this format. Fields and kinds of lines that a version does not know are passed over; what would be misread by it
needs a new number."""

Role = Literal["user", "assistant"]
Finish = Literal["stop", "length", "deadline", "tool_calls", "stopped", "interrupted"]
"""How an answer ended: as the server says it, by the user, or by a failure in the middle."""


class Begun(msgspec.Struct, frozen=True, kw_only=True, tag="conversation"):
    """The first line."""

    version: int
    id: str
    created: float  # seconds since 1970


class ChatSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the answers of a conversation are made. ``sampling`` has what was chosen; the rest is the model's."""

    model: str = ""
    system: str = ""
    sampling: dict[str, Any] = {}
    stop: tuple[str, ...] = ()
    schema: str = ""  # a JSON schema that answers follow, as JSON
    thinking: Thinking = None
    context: int | None = None  # tokens to have room for


class Settled(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="settings"):
    """Title and settings from here on; the last one counts."""

    title: str = ""
    settings: ChatSettings = ChatSettings()


class Attachment(msgspec.Struct, frozen=True):
    """A text file that went along with a message."""

    name: str
    text: str


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="message"):
    """Something that was said. Messages with the same ``parent`` are versions of each other."""

    id: int
    role: Role
    text: str
    parent: int | None = None
    time: float = 0.0  # seconds since 1970
    attachments: tuple[Attachment, ...] = ()
    # of answers:
    thoughts: str = ""
    model: str = ""
    finish: Finish | None = None
    error: str = ""  # why it was interrupted
    stats: GenerationStats | None = None
    thinking_tokens: int = 0
    context: int = 0  # tokens that the model had room for
    first_s: float = 0.0  # from sending to the first piece
    thought_s: float = 0.0  # from the first thought to the first word
    sent_from: int | None = None  # the first message that the model was given


class Chosen(msgspec.Struct, frozen=True, tag="leaf"):
    """The message that the conversation goes on after: it and its parents are what is shown."""

    id: int


Record = Begun | Settled | Message | Chosen


class Started(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="started"):
    """The first line of the file of an answer that is under way: all that is known of the message before its text."""

    id: int
    parent: int | None
    time: float
    model: str
    text: str = ""  # of an answer that goes on
    thoughts: str = ""
    sent_from: int | None = None


class Piece(msgspec.Struct, frozen=True, omit_defaults=True, tag="piece"):
    """What came since the line before."""

    text: str = ""
    thoughts: str = ""
