"""Answers of gpt-oss: messages in channels, each with a header."""

from __future__ import annotations

import re
from typing import Literal

from edgellm.server.generation.calls.json_text import JsonText
from edgellm.server.generation.calls.pieces import CallDelta, CallEnd, CallPiece, CallStart
from edgellm.server.generation.reading.markers import first_marker, without_marker_start
from edgellm.server.generation.reading.reader import Piece

__all__ = ["HarmonyReader"]

_MESSAGE = "<|message|>"
_ENDS = ("<|end|>", "<|call|>", "<|return|>", "<|start|>", "<|channel|>")
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)")
_RECIPIENT = re.compile(r"to=(?:functions\.)?([^\s<]+)")
_HEADER_STARTS = ("<|", "to=")

_Kind = Literal["header", "text", "thinking", "call"]


class HarmonyReader:
    """As ``reader.AnswerReader``, for the messages of gpt-oss. The channel analysis holds thoughts; a message to a
    function is a call; all else is text. ``in_answer``: the prompt has begun a message for the user.

    What is no message, as some that were trained further write, is text.
    """

    def __init__(self, *, in_answer: bool = False) -> None:
        self._kind: _Kind = "text" if in_answer else "header"
        self._held = ""
        self._object: JsonText | None = None  # of a call
        self._has_said = False  # text of a message before this one
        self._is_first = True  # nothing of this message was given
        self._found: list[Piece | CallPiece] = []

    @property
    def is_thinking(self) -> bool:
        """True while a thought goes on."""
        return self._kind == "thinking"

    def push(self, text: str) -> list[Piece | CallPiece]:
        """Add ``text``; returns what is certain now."""
        self._held += text
        while self._header() if self._kind == "header" else self._body():
            pass
        found, self._found = self._found, []
        return found

    def finish(self, *, is_cut: bool = False) -> list[Piece | CallPiece]:
        """What was held back. ``is_cut``: the answer ended since it was as long as it may be."""
        held, self._held = self._held, ""
        if self._kind == "call":
            self._end_call(held, is_cut=is_cut)
        elif self._kind != "header":
            self._say(held)
        found, self._found = self._found, []
        return found

    def _header(self) -> bool:
        """Up to where the content begins."""
        held = self._held.lstrip(" ")
        if not any(start.startswith(held[: len(start)]) for start in _HEADER_STARTS):
            return self._begin("text")  # no message at all
        place = self._held.find(_MESSAGE)
        if place < 0:
            return False
        header, self._held = self._held[:place], self._held[place + len(_MESSAGE) :]
        channel, recipient = _CHANNEL.search(header), _RECIPIENT.search(header)
        if recipient is not None and recipient[1] != "assistant":
            self._found.append(CallStart(recipient[1]))
            self._object = JsonText()
            return self._begin("call")
        return self._begin("thinking" if channel is not None and channel[1] == "analysis" else "text")

    def _begin(self, kind: _Kind) -> bool:
        self._kind, self._is_first = kind, True
        return True

    def _body(self) -> bool:
        if self._object is not None:
            given, used = self._object.push(self._held)
            if given:
                self._found.append(CallDelta(given))
            self._held = self._held[used:]
        found = first_marker(self._held, _ENDS)
        if found is None:
            if self._object is None:
                keep = without_marker_start(self._held, _ENDS)
                self._say(self._held[:keep])
                self._held = self._held[keep:]
            return False
        place, marker = found
        body, self._held = self._held[:place], self._held[place:]
        if marker not in ("<|start|>", "<|channel|>"):
            self._held = self._held[len(marker) :]
        if self._object is not None:
            self._end_call(body, is_cut=False)
        else:
            self._say(body)
        self._has_said = self._has_said or self._kind == "text"
        return self._begin("header")

    def _end_call(self, rest: str, *, is_cut: bool) -> None:
        assert self._object is not None
        done, self._object = self._object, None
        if done.is_done:
            self._found.append(CallEnd(is_whole=True))
            return
        closing = None if is_cut else done.closing(rest)
        if closing is not None:
            self._found += [CallDelta(closing), CallEnd(is_whole=True)]
            return
        self._found.append(CallEnd(is_whole=False))
        if rest.strip() and not is_cut:
            self._found.append(Piece("text", rest.strip()))

    def _say(self, text: str) -> None:
        kind: Literal["text", "thinking"] = "thinking" if self._kind == "thinking" else "text"
        if not text:
            return
        if self._is_first and kind == "text" and self._has_said:
            text = f"\n\n{text}"
        self._is_first = False
        self._found.append(Piece(kind, text))
