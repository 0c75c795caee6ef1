"""The conversations of a user: a folder with a file for each, readable by its owner alone."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time
from pathlib import Path

from edgellm.errors import BusyError, EdgeLLMError, NotFoundError, UsageError
from edgellm.files import os_errors
from edgellm.tui.chat.answer_file import recovered_answer
from edgellm.tui.chat.conversation import Conversation
from edgellm.tui.chat.draft import Draft
from edgellm.tui.chat.journal import Journal
from edgellm.tui.chat.records import ChatSettings
from edgellm.tui.chat.summaries import Summaries, Summary

__all__ = ["Conversations"]

_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")
_PARTS = (".jsonl", ".answer", ".draft")


class Conversations:
    """The conversations in ``folder``; with None nothing is kept, and there are none from before."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._summaries = Summaries(folder)

    def begin(self, settings: ChatSettings) -> Conversation:
        """A new conversation. Its file is made when something is said."""
        id = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
        return Conversation.begin(self._file(id, ".jsonl"), id, settings)

    def open(self, id: str, *, read_only: bool = False) -> Conversation:
        """One from before, with what came of an answer that was cut off.

        Raises NotFoundError, UnsupportedError, and BusyError when another program has it open, unless ``read_only``.
        """
        path = self._existing(id)
        journal = Journal(path, writable=not read_only)
        try:
            conversation = Conversation(journal, id)
            if not read_only:
                self._recover(conversation)
        except BaseException:
            journal.close()
            raise
        return conversation

    def draft(self, conversation: Conversation) -> Draft:
        """What was typed in ``conversation`` and not sent."""
        return Draft(self._file(conversation.id, ".draft") if conversation.is_writable else None)

    def answer_path(self, conversation: Conversation) -> Path | None:
        """Where the pieces of an answer go while it is made; None where nothing is kept."""
        return self._file(conversation.id, ".answer") if conversation.path is not None else None

    def keep(self, conversation: Conversation, folder: Path) -> None:
        """Keep, in ``folder``, one that was in memory alone."""
        conversation.keep(folder / f"{conversation.id}.jsonl")

    def summaries(self) -> list[Summary]:
        """All of them, the one that was used last in front."""
        return self._summaries.read(self._ids())

    def find(self, name: str) -> str:
        """The id of the conversation that ``name`` means: its id or the beginning of it, its number in ``summaries``,
        its title or a part of that. Raises NotFoundError, and UsageError where several are meant."""
        wanted = name.strip()
        summaries = self.summaries()
        if wanted.isdecimal() and 1 <= int(wanted) <= len(summaries):
            return summaries[int(wanted) - 1].id
        folded = wanted.casefold()
        for found in (
            [each for each in summaries if each.id == wanted],
            [each for each in summaries if each.title.casefold() == folded],
            [each for each in summaries if each.id.startswith(wanted)],
            [each for each in summaries if folded in each.title.casefold()],
        ):
            if wanted and len(found) == 1:
                return found[0].id
            if wanted and found:
                names = ", ".join(f"{each.id} ({each.title})" for each in found[:4])
                raise UsageError(f"{wanted[:80]!r} means {len(found)} conversations: {names}", hint="give an id")
        raise NotFoundError(f"there is no conversation {wanted[:80]!r}", hint="`edgellm chats list` shows them")

    def delete(self, id: str) -> None:
        """Remove a conversation with all that belongs to it. Raises NotFoundError, and BusyError while it is open."""
        path = self._existing(id)
        journal = Journal(path)  # nobody writes it now
        try:
            self._unlink(id)
        finally:
            journal.close()

    def forget(self, conversation: Conversation) -> None:
        """Remove an open one: what is on the disk of it, and its entry in the list."""
        if conversation.path is not None:
            self._unlink(conversation.id)
        elif (draft := self._file(conversation.id, ".draft")) is not None:
            draft.unlink(missing_ok=True)

    def purge(self) -> int:
        """Remove everything that was ever kept here, and the folder; how many conversations that were.

        Raises BusyError, before anything is removed, while one of them is open.
        """
        if self.folder is None or not self.folder.is_dir():
            return 0
        ids = self._ids()
        with contextlib.ExitStack() as held:
            for id in ids:
                try:
                    held.callback(Journal(self._existing(id)).close)
                except BusyError as error:
                    raise BusyError(f"conversation {id} is open in another program", hint="end it first") from error
            with os_errors(f"remove {self.folder}"):
                for file in self.folder.iterdir():
                    file.unlink()
                self.folder.rmdir()
        return len(ids)

    def _recover(self, conversation: Conversation) -> None:
        path = self._file(conversation.id, ".answer")
        if path is None or not path.exists():
            return
        message = recovered_answer(path)
        if message is not None and message.id >= conversation.next_id():
            conversation.append(message)
        if conversation.problem is None:
            path.unlink(missing_ok=True)

    def _ids(self) -> list[str]:
        if self.folder is None:
            return []
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(self.folder) as found:
            names = [entry.name.removesuffix(".jsonl") for entry in found if entry.name.endswith(".jsonl")]
            return [name for name in names if _ID.fullmatch(name)]
        return []

    def _file(self, id: str, suffix: str) -> Path | None:
        return None if self.folder is None else self.folder / f"{id}{suffix}"

    def _existing(self, id: str) -> Path:
        path = self._file(id, ".jsonl") if _ID.fullmatch(id) else None
        if path is None or not path.is_file():
            raise NotFoundError(f"there is no conversation {id[:80]!r}", hint="`edgellm chats list` shows them")
        return path

    def _unlink(self, id: str) -> None:
        for suffix in _PARTS:
            path = self._file(id, suffix)
            assert path is not None
            with os_errors(f"remove the conversation {id}"):
                path.unlink(missing_ok=True)
        with contextlib.suppress(EdgeLLMError):
            self._summaries.forget(id)
