"""What a list of conversations shows, read once and remembered for as long as a file stays as it is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from edgellm.errors import EdgeLLMError
from edgellm.files import os_errors, read_small_file, write_atomic
from edgellm.tui.chat.conversation import Conversation
from edgellm.tui.chat.journal import Journal

__all__ = ["Summaries", "Summary"]

_NAME = "index.json"
_LARGEST_BYTES = 64 << 20


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation in a list."""

    id: str
    title: str
    model: str
    messages: int
    created: float  # seconds since 1970
    changed: float
    damaged: int = 0  # lines that cannot be read


class _Known(msgspec.Struct, frozen=True):
    """A summary, and the file that it was made from."""

    size_bytes: int
    changed_ns: int
    summary: Summary


class Summaries:
    """The summaries of the conversations in ``folder``, with an index there that may be lost at any time."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._known: dict[str, _Known] | None = None

    def read(self, ids: Iterable[str]) -> list[Summary]:
        """Those of ``ids`` that can be read, the one that changed last in front."""
        if self._folder is None:
            return []
        before = self._load(self._folder)
        known = {id: entry for id in ids if (entry := _current(self._folder / f"{id}.jsonl", id, before.get(id)))}
        if known != before:
            self._known = known
            self._save(self._folder)
        return sorted((each.summary for each in known.values()), key=lambda each: (-each.changed, each.id))

    def forget(self, id: str) -> None:
        """Nothing of it stays in the index."""
        if self._folder is not None and self._load(self._folder).pop(id, None) is not None:
            self._save(self._folder)

    def _load(self, folder: Path) -> dict[str, _Known]:
        if self._known is None:
            self._known = {}
            with contextlib.suppress(EdgeLLMError, msgspec.MsgspecError, UnicodeDecodeError):
                raw = read_small_file(folder / _NAME, _LARGEST_BYTES, "the index of the conversations")
                self._known = msgspec.json.decode(raw, type=dict[str, _Known])
        return self._known

    def _save(self, folder: Path) -> None:
        with contextlib.suppress(EdgeLLMError), os_errors("save the index"):  # read anew the next time
            write_atomic(folder / _NAME, msgspec.json.encode(self._known), mode=0o600)


def _current(path: Path, id: str, known: _Known | None) -> _Known | None:
    try:
        status = path.stat()
    except OSError:  # deleted just now
        return None
    if known is not None and (known.size_bytes, known.changed_ns) == (status.st_size, status.st_mtime_ns):
        return known
    try:
        journal = Journal(path, writable=False)
    except EdgeLLMError:
        return None
    try:
        conversation = Conversation(journal, id)
    except EdgeLLMError as error:
        summary = Summary(id=id, title=error.message, model="", messages=0, created=0, changed=status.st_mtime)
        return _Known(status.st_size, status.st_mtime_ns, summary)
    finally:
        journal.close()
    summary = Summary(
        id=id,
        title=conversation.title,
        model=conversation.settings.model,
        messages=len(conversation),
        created=conversation.created,
        changed=status.st_mtime,
        damaged=conversation.damaged,
    )
    return _Known(status.st_size, status.st_mtime_ns, summary)
