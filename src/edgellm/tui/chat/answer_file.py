"""The answer that is under way, piece by piece on the disk: what came of it survives the end of this program."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import msgspec

from edgellm.errors import EdgeLLMError
from edgellm.files import os_errors, read_small_file
from edgellm.tui.chat.records import Message, Piece, Started

__all__ = ["AnswerFile", "recovered_answer"]

_LARGEST_BYTES = 64 << 20
_encode = msgspec.json.Encoder().encode
_line: msgspec.json.Decoder[Started | Piece] = msgspec.json.Decoder(Started | Piece)


class AnswerFile:
    """Takes an answer's pieces, and has them in the file at most ``interval_s`` later. None as path keeps nothing.

    The system writes them to the disk in its own time: a power cut may cost the last seconds of an answer. A disk that
    is full costs the file, never the answer: its pieces are in memory too.
    """

    def __init__(self, path: Path | None, started: Started, *, interval_s: float = 0.5) -> None:
        self._path = path
        self._interval_s = interval_s
        self._text: list[str] = []
        self._thoughts: list[str] = []
        self._written = time.monotonic()
        self._descriptor: int | None = None
        if path is None:
            return
        with contextlib.suppress(EdgeLLMError), os_errors("keep the answer"):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = os.open(
                path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
            )
        self._write(_encode(started))

    def add(self, text: str = "", thoughts: str = "") -> None:
        """A piece of the answer."""
        if self._descriptor is None:
            return
        self._text.append(text)
        self._thoughts.append(thoughts)
        now = time.monotonic()
        if now - self._written >= self._interval_s:
            self._written = now
            self.flush()

    def flush(self) -> None:
        """Write what has come since the last time."""
        piece = Piece("".join(self._text), "".join(self._thoughts))
        self._text.clear()
        self._thoughts.clear()
        self._write(_encode(piece))

    def remove(self) -> None:
        """The whole answer is in its conversation."""
        if self._descriptor is None or self._path is None:
            return
        os.close(self._descriptor)
        self._descriptor = None
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _write(self, line: bytes) -> None:
        if self._descriptor is None:
            return
        with contextlib.suppress(OSError):
            os.write(self._descriptor, line + b"\n")


def recovered_answer(path: Path) -> Message | None:
    """What came of an answer whose program ended before it did; None where nothing did."""
    try:
        lines = read_small_file(path, _LARGEST_BYTES, "an answer").split(b"\n")
    except EdgeLLMError:
        return None
    started: Started | None = None
    text: list[str] = []
    thoughts: list[str] = []
    for line in lines:
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):  # the last line may be torn
            match _line.decode(line):
                case Started() as started:
                    text.append(started.text)
                    thoughts.append(started.thoughts)
                case Piece() as piece:
                    text.append(piece.text)
                    thoughts.append(piece.thoughts)
    if started is None or not any((*text, *thoughts)):
        return None
    return Message(
        id=started.id,
        role="assistant",
        parent=started.parent,
        text="".join(text),
        thoughts="".join(thoughts),
        time=started.time,
        model=started.model,
        sent_from=started.sent_from,
        finish="interrupted",
        error="this program ended before the answer did",
    )
