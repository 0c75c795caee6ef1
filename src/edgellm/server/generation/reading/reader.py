"""One answer read while it is streamed."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Literal, NamedTuple

from edgellm.server.generation.calls.call import is_unfinished, may_be_bare_call
from edgellm.server.generation.calls.form import CallForm
from edgellm.server.generation.calls.json_stream import bare_calls
from edgellm.server.generation.calls.pieces import CallPiece, CallStream
from edgellm.server.generation.reading.markers import first_marker, without_marker_start
from edgellm.server.generation.templates.traits import ThinkingMarkers
from edgellm.server.generation.tools import Tool

__all__ = ["AnswerReader", "Piece"]


class Piece(NamedTuple):
    """Some text, or thought."""

    kind: Literal["text", "thinking"]
    text: str


class _State(Enum):
    START = auto()  # nothing but white space has come
    THINKING = auto()
    AFTER = auto()  # a thought or a call: white space is left out
    TEXT = auto()
    CALL = auto()
    BARE = auto()  # a JSON object that may be a call


class AnswerReader:
    """Takes text as it comes and gives what is certain by then: never a part of a marker, all of everything else.

    White space around thoughts and calls is left out. What stands where a call should, and is none, is text. Calls are
    told as they are written: that one begins, some of its arguments, that it ends.
    ``in_thinking``: the prompt has begun the thought. ``tools`` are those of the request, by name.
    """

    def __init__(
        self,
        thinking: ThinkingMarkers | None,
        calls: CallForm | None,
        *,
        in_thinking: bool = False,
        tools: Mapping[str, Tool] | None = None,
    ) -> None:
        self._thinking = thinking
        self._calls = calls
        self._tools = tools or {}
        self._state = _State.THINKING if in_thinking else _State.START
        self._held = ""
        self._opened = ""  # the marker that began the call
        self._stream: CallStream | None = None  # that reads the calls behind it
        self._begun = False  # something of the thought was given
        self._found: list[Piece | CallPiece] = []

    @property
    def is_thinking(self) -> bool:
        """True while a thought goes on."""
        return self._state is _State.THINKING

    def push(self, text: str) -> list[Piece | CallPiece]:
        """Add ``text``; returns what is certain now."""
        self._held += text
        while self._held and self._STEPS[self._state](self):
            pass
        return self._take()

    def finish(self, *, is_cut: bool = False) -> list[Piece | CallPiece]:
        """What was held back. ``is_cut``: the answer ended since it was as long as it may be."""
        held, self._held = self._held, ""
        match self._state:
            case _State.CALL:
                self._end_call(held, "", is_cut=is_cut)
            case _State.BARE:
                self._end_call(held, "", is_cut=is_cut)
            case _State.THINKING:
                self._say("thinking", held.rstrip() if self._begun else held.strip())
            case _State.AFTER:
                self._say("text", held.lstrip())
            case _:
                self._say("text", held)
        return self._take()

    def _take(self) -> list[Piece | CallPiece]:
        found, self._found = self._found, []
        return found

    def _say(self, kind: Literal["text", "thinking"], text: str) -> None:
        if text:
            self._found.append(Piece(kind, text))

    def _start(self) -> bool:
        text = self._held.lstrip()
        if not text:
            return False
        if self._thinking is not None:
            if text.startswith(self._thinking.opens):
                self._held = text[len(self._thinking.opens) :]
                self._state = _State.THINKING
                return True
            if self._thinking.opens.startswith(text):
                return False
        return self._begin_text()

    def _begin_text(self) -> bool:
        is_bare = self._calls is not None and self._calls.bare and self._held.lstrip().startswith(("{", "[{"))
        self._state = _State.BARE if is_bare else _State.TEXT
        if is_bare:
            self._begin_call("")
        return True

    def _begin_call(self, opened: str) -> None:
        assert self._calls is not None
        self._opened = opened
        self._stream = self._calls.stream(self._tools) if opened else bare_calls(self._tools)

    def _after(self) -> bool:
        self._held = self._held.lstrip()
        return bool(self._held) and self._begin_text()

    def _think(self) -> bool:
        assert self._thinking is not None
        if not self._begun:
            self._held = self._held.lstrip()
        place = self._held.find(self._thinking.closes)
        keep = without_marker_start(self._held, [self._thinking.closes]) if place < 0 else place
        said, self._held = self._held[:keep], self._held[keep:]
        if place >= 0:
            said, self._held = said.rstrip(), self._held[len(self._thinking.closes) :]
            self._state = _State.AFTER
        self._say("thinking", said)
        self._begun = self._begun or bool(said)
        return place >= 0

    def _text(self) -> bool:
        if self._calls is None:
            self._say("text", self._held)
            self._held = ""
            return False
        found = first_marker(self._held, self._calls.opens)
        keep = without_marker_start(self._held, self._calls.opens) if found is None else found[0]
        said, self._held = self._held[:keep], self._held[keep:]
        if found is not None:
            said = said.rstrip()
            self._held = self._held[len(found[1]) :]
            self._state = _State.CALL
            self._begin_call(found[1])
        self._say("text", said)
        return found is not None

    def _call(self) -> bool:
        assert self._calls is not None
        self._take_calls()
        closing = self._calls.closes
        place = -1 if closing is None else self._held.find(closing)
        while closing is not None and place >= 0 and is_unfinished(self._held[:place]):
            place = self._held.find(closing, place + 1)
        if closing is None or place < 0:
            return False
        body, self._held = self._held[:place], self._held[place + len(closing) :]
        self._end_call(body, closing)
        return True

    def _take_calls(self) -> None:
        assert self._stream is not None
        pieces, taken = self._stream.take(self._held)
        self._found += pieces
        self._held = self._held[taken:]

    def _end_call(self, body: str, closing: str, *, is_cut: bool = False) -> None:
        assert self._stream is not None
        pieces, rest = self._stream.finish(body, is_cut=is_cut)
        self._found += pieces
        is_call = bool(pieces) or self._stream.has_begun
        if not is_call and not (is_cut and self._opened):
            rest = f"{self._opened}{rest}{closing}"
        elif not is_call:
            rest = ""  # the beginning of a call whose name is not known yet
        rest = rest.strip() if is_call else rest
        self._say("text", rest)
        self._state = _State.AFTER if is_call and not rest else _State.TEXT

    def _bare(self) -> bool:
        """An object that cannot become a call is text at once."""
        assert self._stream is not None
        if self._stream.has_begun or may_be_bare_call(self._held, self._tools):
            self._take_calls()
            return False
        self._state = _State.TEXT
        return True

    _STEPS = {  # noqa: RUF012  not changed
        _State.START: _start,
        _State.THINKING: _think,
        _State.AFTER: _after,
        _State.TEXT: _text,
        _State.CALL: _call,
        _State.BARE: _bare,
    }
