"""Where a value that Python writes ends, found while it is written."""

from __future__ import annotations

import re

__all__ = ["ValueScan"]

_BARE = re.compile(r"[^\"'()\[\]{},]+")


def _inside(quote: str) -> re.Pattern[str]:
    """What is certain to lie before the end of a text that ``quote`` began: an escape or a quote at the end of what
    has come may go on."""
    letter = quote[0]
    quotes = rf"|{letter}{{1,2}}(?=[^{letter}])" if len(quote) > 1 else ""
    return re.compile(rf"(?:[^{letter}\\]++|\\.{quotes})*+", re.DOTALL)


_INSIDE = {quote: _inside(quote) for quote in ("'", '"', "'''", '"""')}


class ValueScan:
    """Reads one value. Each character is read once, however many parts the value comes in: it may be a whole file."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._n_read = 0  # characters of the value
        self._depth = 0  # of brackets
        self._quote = ""  # what began the text that the next character is in

    def end(self, text: str, start: int) -> int | None:
        """Where the value that begins at ``start`` ends: before a comma or a bracket that it has not opened. None
        until that has come; then ``text`` is given again with more, and may begin elsewhere."""
        if start + self._n_read > len(text):  # the beginning of the marker behind it was taken for a part of it
            self._begin()
        place = start + self._n_read
        while place < len(text):
            character = text[place]
            if self._quote:
                place = self._text(text, place)
                if self._quote:
                    break
            elif character in "\"'":
                quote = _opening(text, place)
                if quote is None:
                    break
                place += 2 if not quote else len(quote)
                self._quote = quote
            elif character in "([{":
                self._depth += 1
                place += 1
            elif character in ")]},":
                if not self._depth:
                    return place
                self._depth -= character != ","
                place += 1
            else:
                bare = _BARE.match(text, place)
                assert bare is not None  # it is none of the characters above
                place = bare.end()
        self._n_read = place - start
        return None

    def _text(self, text: str, place: int) -> int:
        """Where the text in quotes ends, or what is certain to be in it."""
        inside = _INSIDE[self._quote].match(text, place)
        assert inside is not None  # it matches nothing too
        if not text.startswith(self._quote, inside.end()):
            return inside.end()
        end = inside.end() + len(self._quote)
        self._quote = ""
        return end


def _opening(text: str, place: int) -> str | None:
    """The quotes that begin a text at ``place``, none where it is empty; None while that is uncertain."""
    letter = text[place]
    if text.startswith(letter * 3, place):
        return letter * 3
    if text.startswith(letter * 2, place):
        return "" if len(text) > place + 2 else None
    return letter if len(text) > place + 1 else None
