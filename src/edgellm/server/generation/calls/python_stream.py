"""Calls as Python writes them, read while they are written: told argument by argument."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any

from edgellm.server.generation.calls.call import Call, encode
from edgellm.server.generation.calls.json_stream import pieces_of
from edgellm.server.generation.calls.pieces import CallDelta, CallEnd, CallPiece, CallStart
from edgellm.server.generation.calls.python_value import ValueScan

__all__ = ["PythonCalls"]

# arguments have names: what begins otherwise is no call, or one that is read as a whole
_HEAD = re.compile(r"[\s,\[]*(?P<name>[^\s()\[\]{},='\"]+)\(\s*(?=\)|[^\W\d]\w*\s*=)")
_KEY = re.compile(r"\s*(?P<key>[^\W\d]\w*)\s*=")
_TAIL = re.compile(r"\s*,?\s*\)")
_COMMA = re.compile(r"\s*,\s*(?=[^\s)])")
_SPACE = " \t\r\n"
_MARKS = "()[]{}," + _SPACE


class PythonCalls:
    """See ``pieces.CallStream``. ``closes`` ends the block of calls; ``value`` reads the text of one argument, and
    raises ValueError for what is no constant; ``read`` takes calls of other than the ``names`` of tools when they are
    whole."""

    def __init__(
        self,
        closes: str,
        value: Callable[[str], Any],
        read: Callable[[str], list[Call] | None],
        names: Collection[str],
    ) -> None:
        self._closes = closes
        self._value = value
        self._read = read
        self._names = names
        self._before = ""  # what is written before the next argument: "{" or ","; empty outside of calls
        self._keys: set[str] = set()  # of the arguments that were read
        self._scan = ValueScan()  # of the argument that is being read
        self._has_failed = False
        self.has_begun = False

    def take(self, text: str) -> tuple[list[CallPiece], int]:
        """See ``pieces.CallStream``."""
        text = text.partition(self._closes)[0]
        pieces: list[CallPiece] = []
        place = 0
        while not self._has_failed:
            if not self._before:
                head = _HEAD.match(text, place)
                if head is None or head["name"] not in self._names:
                    break
                pieces.append(CallStart(head["name"]))
                self._before, self.has_begun, place = "{", True, head.end()
                self._keys.clear()
            elif (tail := _TAIL.match(text, place)) is not None:
                pieces += self._end()
                place = tail.end()
            elif (member := self._member(text, place)) is not None:
                piece, place = member
                pieces.append(piece)
            else:
                break
        return pieces, place

    def finish(self, rest: str, *, is_cut: bool) -> tuple[list[CallPiece], str]:
        """See ``pieces.CallStream``. Brackets that the model forgot are made up for."""
        if self._has_failed:
            return [], "" if is_cut else rest
        if self._before:
            pieces = [] if is_cut else self._with_brackets(rest)
            if not self._before and not self._has_failed:
                return pieces, ""
            if self._before:
                self._before = ""
                pieces.append(CallEnd(is_whole=False))
            return pieces, "" if is_cut else rest
        if self.has_begun and not rest.strip(_MARKS):
            return [], ""
        calls = self._read(rest)
        return ([], "" if is_cut else rest) if calls is None else (pieces_of(calls), "")

    def _with_brackets(self, rest: str) -> list[CallPiece]:
        """What ``rest`` adds with the bracket that is missing: behind one that ends a list, or before the last ones."""
        for text in (rest, rest.rstrip("]" + _SPACE)):
            self._scan = ValueScan()
            pieces, _ = self.take(text + ")")
            if pieces:
                return pieces
        return []

    def _member(self, text: str, place: int) -> tuple[CallPiece, int] | None:
        """The argument at ``place`` and where it ends; None until what stands behind it has come."""
        comma = _COMMA.match(text, place) if self._before == "," else None
        key = _KEY.match(text, place if comma is None else comma.end())
        if key is None:
            return None
        name = key["key"]
        if name in self._keys:
            return self._fail(), place
        end = self._scan.end(text, key.end())
        if end is None:
            return None
        self._scan = ValueScan()
        try:
            member = encode({name: self._value(text[key.end() : end])})
        except ValueError:
            return self._fail(), place
        self._keys.add(name)
        before, self._before = self._before, ","
        return CallDelta(before + member[1:-1]), end

    def _fail(self) -> CallPiece:
        self._has_failed, self._before = True, ""
        return CallEnd(is_whole=False)

    def _end(self) -> list[CallPiece]:
        opening = "{" if self._before == "{" else ""
        self._before = ""
        return [CallDelta(f"{opening}}}"), CallEnd(is_whole=True)]
