"""One conversation: a tree of messages, of which one branch is shown. Texts stay on the disk until they are wanted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from edgellm.errors import EdgeLLMError, UnsupportedError
from edgellm.files import fsync_directory, os_errors
from edgellm.tui.chat.journal import Journal, Place
from edgellm.tui.chat.records import VERSION, Begun, ChatSettings, Chosen, Message, Record, Role, Settled
from edgellm.tui.chat.titles import title_of

__all__ = ["Conversation", "Entry", "decode_record", "encode_record"]

_encode = msgspec.json.Encoder().encode
_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


class Entry:
    """A message without its text. ``versions`` are the ids of all messages with its parent, itself included."""

    __slots__ = ("characters", "id", "parent", "place", "role")

    def __init__(self, message: Message, place: Place) -> None:
        self.id = message.id
        self.parent = message.parent
        self.role: Role = message.role
        self.place = place
        self.characters = len(message.text) + sum(len(each.text) for each in message.attachments)


class Conversation:
    """A conversation in ``journal``, of which everything is read once and its messages' places are remembered.

    ``damaged`` counts the lines that could not be read. Raises UnsupportedError for a file of a later version.
    """

    def __init__(self, journal: Journal, id: str) -> None:
        self.id = id
        self.created = 0.0
        self.title = ""
        self.settings = ChatSettings()
        self.damaged = 0
        self._journal = journal
        self._target: Path | None = None  # where it goes once something is said
        self._failure: EdgeLLMError | None = None
        self._entries: dict[int, Entry] = {}
        self._children: dict[int | None, list[int]] = {None: []}
        self._path: list[int] = []
        self._last_id = 0
        self._read_last: Message | None = None
        self._read()

    @classmethod
    def begin(cls, path: Path | None, id: str, settings: ChatSettings) -> Conversation:
        """A new one, in a file once something is said, or in memory alone where ``path`` is None."""
        conversation = cls(Journal(None), id)
        conversation.created = time.time()
        conversation.settings = settings
        conversation._append(Begun(version=VERSION, id=id, created=conversation.created))
        conversation._append(Settled(settings=settings))
        conversation._target = path
        return conversation

    @property
    def path(self) -> Path | None:
        """Its file; None where it is kept in memory alone."""
        return self._journal.path

    @property
    def is_writable(self) -> bool:
        """False where another program writes it."""
        return self._journal.writable

    @property
    def problem(self) -> EdgeLLMError | None:
        """Why the last of it is not on the disk; None when it is, or shall not be."""
        return self._failure or self._journal.problem

    @property
    def message_ids(self) -> list[int]:
        """The messages that are shown, the first one in front. Not to be changed."""
        return self._path

    def __len__(self) -> int:
        return len(self._path)

    def entry(self, id: int) -> Entry:
        """A message without its text."""
        return self._entries[id]

    def message(self, id: int) -> Message:
        """A whole message, read from the disk."""
        if self._read_last is not None and self._read_last.id == id:  # asked for again and again while it is shown
            return self._read_last
        record = _decoder.decode(self._journal.read(self._entries[id].place))
        assert isinstance(record, Message)
        self._read_last = record
        return record

    def messages(self, first: int = 0) -> Iterator[Message]:
        """The messages that are shown, from the ``first``-th on."""
        return (self.message(id) for id in self._path[first:])

    def last(self, role: Role | None = None) -> Message | None:
        """The last message that is shown, of a role; None without any."""
        found = next((id for id in reversed(self._path) if role in (None, self._entries[id].role)), None)
        return None if found is None else self.message(found)

    def versions(self, id: int) -> list[int]:
        """The messages in the place of ``id``, in the order in which they came."""
        return self._children[self._entries[id].parent]

    def next_id(self) -> int:
        """The id of the next message."""
        return self._last_id + 1

    def add(self, role: Role, text: str, *, parent: int | None = None, **fields: Any) -> Message:
        """Say something after ``parent``, which None puts at the beginning. It is what is shown then."""
        message = Message(id=self.next_id(), role=role, text=text, parent=parent, time=time.time(), **fields)
        self.append(message)
        return message

    def append(self, message: Message) -> None:
        """Put a message into its place, and show it."""
        self._take(message, self._append(message))
        self._save()
        if not self.title and message.role == "user":
            self.set(title=title_of(message.text or " ".join(each.name for each in message.attachments)))

    @property
    def leaf(self) -> int | None:
        """The last message that is shown."""
        return self._path[-1] if self._path else None

    def choose(self, id: int) -> None:
        """Show ``id`` and what was said after it, the newest version of each."""
        self.show_newest(id)
        self._append(Chosen(self._path[-1]))

    def show_newest(self, id: int) -> None:
        """The same, until this program ends."""
        while children := self._children.get(id):
            id = children[-1]
        self._show(id)

    def show_until(self, id: int | None) -> None:
        """Show everything up to ``id``, and nothing after it; None shows nothing. What is said next stands there."""
        self._show(id)

    def set(self, *, title: str | None = None, settings: ChatSettings | None = None) -> None:
        """Another title, other settings."""
        self.title = self.title if title is None else title
        self.settings = self.settings if settings is None else settings
        self._append(Settled(title=self.title, settings=self.settings))

    def retry(self) -> bool:
        """Try to write what is not on the disk, also of one in which nothing was said; True when nothing is left."""
        self._save()
        return self._target is None and (self._journal.path is None or self._journal.retry())

    def keep(self, path: Path) -> None:
        """Write one that was in memory alone to ``path``, now and from now on."""
        self._target = path
        self._save()

    def close(self) -> None:
        """Let go of the file."""
        self._journal.close()

    def _append(self, record: Record) -> Place:
        return self._journal.append(encode_record(record))

    def _save(self) -> None:
        if self._target is None:
            return
        try:
            with os_errors(f"make the folder {self._target.parent}"):
                self._target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._journal.keep(self._target)
            with os_errors(f"save the conversation {self._target}"):
                fsync_directory(self._target.parent)
        except EdgeLLMError as error:
            self._failure = error
        else:
            self._target = self._failure = None

    def _read(self) -> None:
        for place, line in self._journal.lines():
            match decode_record(line):
                case Begun() as record:
                    if record.version > VERSION:
                        raise UnsupportedError(
                            f"conversation {self.id} was written by a later edgellm", hint="update edgellm to read it"
                        )
                    self.created = record.created
                case Settled() as record:
                    self.title, self.settings = record.title, record.settings
                case Message() as record:
                    self._take(record, place)
                case Chosen() as record:
                    if record.id in self._entries:
                        self._show(record.id)
                case None:
                    self.damaged += is_damaged(line)

    def _take(self, message: Message, place: Place) -> None:
        if message.parent is not None and message.parent not in self._entries:  # its line is damaged
            message = msgspec.structs.replace(message, parent=self._last_id or None)
        self._read_last = None
        entry = Entry(message, place)
        known = message.id in self._entries
        self._entries[entry.id] = entry
        if not known:
            self._children.setdefault(entry.parent, []).append(entry.id)
        self._last_id = max(self._last_id, entry.id)
        if self._path and entry.parent == self._path[-1]:
            self._path.append(entry.id)
        else:
            self._show(entry.id)

    def _show(self, id: int | None) -> None:
        path: list[int] = []
        while id is not None and len(path) <= len(self._entries):
            path.append(id)
            id = self._entries[id].parent
        self._path = path[::-1]


def encode_record(record: Record) -> bytes:
    """A line, without its end. What is no valid Unicode becomes question marks."""
    try:
        return _encode(record)
    except UnicodeEncodeError:
        cleaned = msgspec.to_builtins(record)
        return _encode(_without_surrogates(cleaned))


def decode_record(line: bytes) -> Record | None:
    """The record of a line; None where it is damaged or of a kind that this version does not know."""
    try:
        return _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def is_damaged(line: bytes) -> bool:
    """True for a line that is no JSON object; one of a kind that a later version knows is none of these."""
    try:
        msgspec.json.decode(line or b"{}", type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return True
    return False


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_surrogates(each) for each in value]
    return value
