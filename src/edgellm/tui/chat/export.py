"""A conversation as a document: Markdown for people, JSON for programs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from edgellm.errors import UsageError
from edgellm.files import os_errors, write_atomic
from edgellm.tui.chat.conversation import Conversation
from edgellm.tui.chat.records import Message

__all__ = ["ExportFormat", "as_json", "as_markdown", "export_file", "format_of"]

ExportFormat = Literal["markdown", "json"]
_SUFFIXES: dict[str, ExportFormat] = {".md": "markdown", ".markdown": "markdown", ".json": "json"}


def format_of(path: Path) -> ExportFormat:
    """The format that the name of a file asks for. Raises UsageError."""
    found = _SUFFIXES.get(path.suffix.lower())
    if found is None:
        raise UsageError(f"{path.name} is neither .md nor .json", hint="the ending says the format")
    return found


def export_file(conversation: Conversation, path: Path, *, overwrite: bool = False) -> None:
    """Write what is shown of ``conversation`` to ``path``, readable by its owner alone. Raises UsageError where the
    file is there already."""
    text = as_json(conversation) if format_of(path) == "json" else as_markdown(conversation)
    if path.exists() and not overwrite:
        raise UsageError(f"{path} is there already", hint="choose another name, or remove it first")
    with os_errors(f"write {path}"):
        write_atomic(path, text.encode("utf-8", "replace"), mode=0o600)


def as_json(conversation: Conversation) -> str:
    """The conversation with its settings, and the messages that are shown; ``role`` and ``content`` as the APIs of
    chats have them."""
    document = {
        "title": conversation.title,
        "id": conversation.id,
        "created": _when(conversation.created),
        "settings": msgspec.to_builtins(conversation.settings),
        "messages": [_message(message) for message in conversation.messages()],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode("utf-8") + "\n"


def _message(message: Message) -> dict[str, Any]:
    fields: dict[str, Any] = {"role": message.role, "content": message.text, "time": _when(message.time)}
    optional = {
        "attachments": [msgspec.to_builtins(each) for each in message.attachments],
        "thoughts": message.thoughts,
        "model": message.model,
        "finish": message.finish,
        "error": message.error,
        "stats": None if message.stats is None else msgspec.to_builtins(message.stats),
    }
    return fields | {name: value for name, value in optional.items() if value}


def as_markdown(conversation: Conversation) -> str:
    """The conversation as a document with a heading for each message; thoughts and files are folded."""
    return "\n".join(_markdown_lines(conversation))


def _markdown_lines(conversation: Conversation) -> Iterator[str]:
    settings = conversation.settings
    yield f"# {conversation.title or 'Conversation'}\n"
    yield f"{_when(conversation.created)}{f', {settings.model}' if settings.model else ''}\n"
    if settings.system:
        yield f"> **System:** {settings.system.replace(chr(10), chr(10) + '> ')}\n"
    for message in conversation.messages():
        yield f"## {'You' if message.role == 'user' else message.model or 'Model'}\n"
        for attachment in message.attachments:
            yield _folded(attachment.name, _fenced(attachment.text))
        if message.thoughts:
            yield _folded("Thoughts", message.thoughts.strip())
        yield f"{message.text.strip()}\n"
        if message.finish in ("stopped", "interrupted", "length"):
            yield f"*({_FINISHES[message.finish]})*\n"


_FINISHES = {"stopped": "stopped", "interrupted": "interrupted", "length": "cut off at the limit"}


def _folded(title: str, text: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>\n"


def _fenced(text: str) -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}\n{text.rstrip()}\n{fence}"


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
