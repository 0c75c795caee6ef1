"""What a terminal sends, as keys."""

from __future__ import annotations

import pytest
from textual import events
from textual.message import Message

from edgellm.tui.keys import KeyParser


def keys_of(*parts: str, tick: bool = True) -> list[str]:
    """The keys that ``parts``, which come one after the other, are; then nothing comes."""
    parser = KeyParser()
    found: list[Message] = [event for part in parts for event in parser.feed(part)]
    if tick:
        if parser._timeout_time is not None:
            parser._timeout_time = 0.0  # ESCDELAY is over
        found += parser.tick()
    return [event.text if isinstance(event, events.Paste) else getattr(event, "key", repr(event)) for event in found]


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        ("\x1b", ["escape"]),
        ("\x1bx", ["escape", "x"]),
        ("\x1bX", ["escape", "X"]),
        ("\x1b1", ["escape", "1"]),
        ("\x1b/", ["escape", "slash"]),
        ("\x1b ", ["escape", "space"]),
        ("\x1bhello", ["escape", *"hello"]),
        ("\x1b" + "y" * 40, ["escape", *["y"] * 40]),
        ("\x1b\x1bq", ["escape", "escape", "q"]),
        ("ab\x1bc\x1bd", ["a", "b", "escape", "c", "escape", "d"]),
        ("\x1b\x11", ["escape", "ctrl+q"]),
        ("\x1b[", ["escape", "left_square_bracket"]),
        ("\x1bO", ["escape", "O"]),
        ("\x1b\r", ["alt+enter"]),
        ("\x1b[A", ["up"]),
        ("\x1bOP", ["f1"]),
        ("\x1b\x1b[A", ["escape", "up"]),
        ("\x1b[A\x1bj\x1b[B", ["up", "escape", "j", "down"]),
        ("\x1b\t", ["shift+tab"]),  # of the Linux console
        ("\x1b\x7f", ["ctrl+w"]),  # Alt and Backspace
        ("\x1b[120;3u", ["alt+x"]),  # Alt itself, where a terminal tells it
        ("\x1b[200~one\ntwo\x1b[201~\x1bx", ["one\ntwo", "escape", "x"]),
    ],
)
def test_escape_and_a_key_are_both(sent: str, keys: list[str]) -> None:
    assert keys_of(sent) == keys
    assert keys_of(*sent) == keys  # a letter at a time


def test_a_sequence_is_one_however_it_is_torn() -> None:
    for sent, key in (("\x1b[1;5F", "ctrl+end"), ("\x1b[15~", "f5"), ("\x1b[A", "up")):
        for place in range(1, len(sent)):
            assert keys_of(sent[:place], sent[place:], tick=False) == [key]


def test_escape_that_has_been_alone_stays_so() -> None:
    parser = KeyParser()
    assert list(parser.feed("\x1b")) == []
    parser._timeout_time = 0.0
    assert [event.key for event in parser.tick() if isinstance(event, events.Key)] == ["escape"]
    assert [event.key for event in parser.feed("x") if isinstance(event, events.Key)] == ["x"]
    assert list(parser.tick()) == []
