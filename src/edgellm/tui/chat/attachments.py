"""Text files that go along with a message."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgellm.errors import UsageError
from edgellm.files import read_small_file
from edgellm.paths import user_path
from edgellm.tui.chat.records import Attachment

__all__ = ["read_attachment", "with_attachments"]

_LARGEST_BYTES = 4 << 20  # more than any context of a small device holds


def read_attachment(name: str) -> Attachment:
    """The text of a file. Raises UsageError for what is no text or too large, NotFoundError, AccessError."""
    path = Path(user_path(name.strip()))
    raw = read_small_file(path, _LARGEST_BYTES, "the file")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text (byte {error.start})", hint="only text can be attached") from error
    if "\0" in text:
        raise UsageError(f"{path} is not text", hint="only text can be attached")
    return Attachment(path.name, text)


def with_attachments(text: str, attachments: Sequence[Attachment]) -> str:
    """What the model is given: each file with its name in front, then what was typed."""
    return "\n\n".join([*(_block(each) for each in attachments), *([text] if text else [])])


def _block(attachment: Attachment) -> str:
    fence = "```"
    while fence in attachment.text:
        fence += "`"
    return f"File {attachment.name}:\n{fence}\n{attachment.text.rstrip()}\n{fence}"
