"""Keys as they come from a terminal, in which Escape and a key after it look like that key with Alt.

Textual takes an Escape that a key follows within ESCDELAY (100 ms), and tmux within its escape-time (500 ms), for Alt
and that key, and keeps the key alone or neither. Here they are what they were typed as, as in vi: nothing here is bound
to Alt and a letter. Alt+Enter stays itself.
"""

from __future__ import annotations

import os
import re
import selectors
import time
from codecs import getincrementaldecoder
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, cast

from textual import events
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

if TYPE_CHECKING:
    from edgellm.tui.app import EdgeApp

__all__ = ["KeyDriver", "KeyParser"]

_ESC = "\x1b"
_PASTE_BEGINS, _PASTE_ENDS = "\x1b[200~", "\x1b[201~"
_AFTER_ESCAPE = re.compile(r"\x1b([^\x1b\[\]O\t\x08\x7f])", re.DOTALL)  # no sequence of a terminal goes on like this
_OPENERS = {"[": "left_square_bracket", "]": "right_square_bracket", "O": "O"}  # of sequences; else keys
_SETTLE_S = 1.0
_GLANCE_S = 0.05
_READ_BYTES = 4096


class KeyParser(XTermParser):
    """Tells keys after Escape from sequences."""

    def __init__(self, debug: bool = False) -> None:
        super().__init__(debug)
        self._recent = ""  # the end of what was fed
        self._is_pasting = False

    def feed(self, data: str) -> Iterator[Message]:
        """The events of ``data``; an empty one is the end."""
        if not data:
            yield from super().feed(data)
            return
        last, place = self._recent[-1:], 0
        for match in _AFTER_ESCAPE.finditer(last + data):
            at = match.start(1) - len(last)
            yield from self._feed(data[place:at])
            place = at
            if self._awaiting.timeout is None or self._is_pasting:  # the Escape is settled, or text
                continue
            self._timeout_time = 0.0
            escape = list(super().tick())
            if data[at] == "\r":
                yield events.Key("alt+enter", None)
                place += 1
            else:
                yield from escape
        yield from self._feed(data[place:])

    def tick(self) -> Iterator[Message]:
        """What a sequence that does not go on was."""
        opener = self._recent[-1:] if self._recent[-2:-1] == _ESC else ""
        for event in super().tick():
            if opener in _OPENERS and isinstance(event, events.Key):
                yield events.Key("escape", _ESC)
                yield events.Key(_OPENERS[opener], opener)
            else:
                yield event

    def _feed(self, data: str) -> Iterator[Message]:
        if not data:
            return
        yield from super().feed(data)
        text = self._recent + data
        begins, ends = text.rfind(_PASTE_BEGINS), text.rfind(_PASTE_ENDS)
        if begins != ends:  # one of them is there
            self._is_pasting = begins > ends
        self._recent = text[1 - len(_PASTE_BEGINS) :]


class KeyDriver(LinuxDriver):
    """A terminal whose keys are read so. What follows Escape waits until that has done what it does: the focus may be
    another one then."""

    def run_input_thread(self) -> None:
        """Read until the app ends."""
        parser, decode = KeyParser(self._debug), getincrementaldecoder("utf-8")().decode
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            is_last = False
            while not is_last:
                is_last = self.exit_event.is_set()
                if selector.select(0.1) and (data := decode(os.read(self.fileno, _READ_BYTES))):
                    self._process(parser.feed(data))
                self._process(parser.tick())

    def _process(self, messages: Iterable[Message]) -> None:
        handled = cast("EdgeApp", self._app).escape_handled
        for message in messages:
            if not (isinstance(message, events.Key) and message.key == "escape"):
                self.process_message(message)
                continue
            handled.clear()
            self.process_message(message)
            until = time.monotonic() + _SETTLE_S  # a widget may keep it for itself
            while not handled.wait(_GLANCE_S) and not self.exit_event.is_set() and time.monotonic() < until:
                pass
