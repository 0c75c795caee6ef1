"""One answer read while it is streamed."""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum, auto
from typing import Literal, NamedTuple

from edgellm.server.generation.calls.call import Call, calls_in_json, is_unfinished, may_be_bare_call
from edgellm.server.generation.calls.form import CallForm
from edgellm.server.generation.reading.markers import first_marker, without_marker_start
from edgellm.server.generation.templates.traits import ThinkingMarkers

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

    White space around thoughts and calls is left out. What stands where a call should, and is none, is text.
    ``in_thinking``: the prompt has begun the thought. ``names`` are those of the tools.
    """

    def __init__(
        self,
        thinking: ThinkingMarkers | None,
        calls: CallForm | None,
        *,
        in_thinking: bool = False,
        names: Collection[str] = (),
    ) -> None:
        self._thinking = thinking
        self._calls = calls
        self._names = names
        self._state = _State.THINKING if in_thinking else _State.START
        self._held = ""
        self._opened = ""  # the marker that began the call
        self._begun = False  # something of the thought was given
        self._found: list[Piece | Call] = []

    @property
    def is_thinking(self) -> bool:
        """True while a thought goes on."""
        return self._state is _State.THINKING

    def push(self, text: str) -> list[Piece | Call]:
        """Add ``text``; returns what is certain now."""
        self._held += text
        while self._held and self._STEPS[self._state](self):
            pass
        return self._take()

    def finish(self) -> list[Piece | Call]:
        """What was held back."""
        held, self._held = self._held, ""
        match self._state:
            case _State.CALL:
                self._end_call(held, "")
            case _State.BARE:
                self._end_bare(held)
            case _State.THINKING:
                self._say("thinking", held.rstrip() if self._begun else held.strip())
            case _State.AFTER:
                self._say("text", held.lstrip())
            case _:
                self._say("text", held)
        return self._take()

    def _take(self) -> list[Piece | Call]:
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
        return True

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
            said, self._opened = said.rstrip(), found[1]
            self._held = self._held[len(self._opened) :]
            self._state = _State.CALL
        self._say("text", said)
        return found is not None

    def _call(self) -> bool:
        assert self._calls is not None
        closing = self._calls.closes
        place = -1 if closing is None else self._held.find(closing)
        while closing is not None and place >= 0 and is_unfinished(self._held[:place]):
            place = self._held.find(closing, place + 1)
        if closing is None or place < 0:
            return False
        body, self._held = self._held[:place], self._held[place + len(closing) :]
        self._end_call(body, closing)
        return True

    def _end_call(self, body: str, closing: str) -> None:
        assert self._calls is not None
        calls = self._calls.read(body)
        if calls is None:
            self._say("text", f"{self._opened}{body}{closing}")
            self._state = _State.TEXT
        else:
            self._found += calls
            self._state = _State.AFTER

    def _bare(self) -> bool:
        """An object that cannot become a call is text at once."""
        if may_be_bare_call(self._held, self._names):
            return False
        self._state = _State.TEXT
        return True

    def _end_bare(self, held: str) -> None:
        calls = calls_in_json(held)
        if calls is not None and all(call.name in self._names for call in calls):
            self._found += calls
        else:
            self._say("text", held)

    _STEPS = {  # noqa: RUF012  not changed
        _State.START: _start,
        _State.THINKING: _think,
        _State.AFTER: _after,
        _State.TEXT: _text,
        _State.CALL: _call,
        _State.BARE: _bare,
    }
