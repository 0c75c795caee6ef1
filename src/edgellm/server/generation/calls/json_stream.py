"""Calls whose arguments are a JSON object behind a name, read while they are written."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from functools import partial

from edgellm.server.generation.calls.call import Call, calls_in_json
from edgellm.server.generation.calls.json_text import JsonText
from edgellm.server.generation.calls.pieces import CallDelta, CallEnd, CallPiece, CallStart

__all__ = ["JsonCalls", "WholeCalls", "bare_calls", "json_calls", "pieces_of"]

JSON_BETWEEN = r'(?:[\s,;\[\]}]|"id"\s*:\s*"[^"]*")*'
JSON_HEAD = (
    r'\{\s*(?:"type"\s*:\s*"function"\s*,\s*)?(?:"id"\s*:\s*"(?P<id>[^"]*)"\s*,\s*)?'
    r'"(?:name|function|tool_name)"\s*:\s*"(?P<name>[^"\\]+)"(?:\s*,\s*"(?:arguments|parameters|args)"\s*:\s*(?=\{))'
)
_NAME_ALONE = re.compile(r'[\s,;\[\]}]*\{[^{}]*"(?:name|function|tool_name)"\s*:\s*"(?P<name>[^"\\]+)"')

Read = Callable[[str], "list[Call] | None"]


class WholeCalls:
    """Calls of a form that cannot be read before it is whole: see ``pieces.CallStream``."""

    has_begun = False

    def __init__(self, read: Read) -> None:
        self._read = read

    def take(self, _text: str) -> tuple[list[CallPiece], int]:
        """Nothing is certain before the end."""
        return [], 0

    def finish(self, rest: str, *, is_cut: bool) -> tuple[list[CallPiece], str]:
        """See ``pieces.CallStream``. Of a call that is cut off nothing is told."""
        calls = self._read(rest)
        if calls is None:
            return [], "" if is_cut else rest
        return pieces_of(calls), ""


class JsonCalls:
    """See ``pieces.CallStream``. ``head`` matches what comes before the object, with a group ``name`` and perhaps
    ``id``; ``between`` what may stand between two calls and behind the last. Calls in any other order of keys, and of
    other than the ``names`` of tools, are read when they are whole."""

    def __init__(self, head: str, between: str, read: Read, names: Collection[str]) -> None:
        self._head = re.compile(between + head)
        self._between = re.compile(between)
        self._read = read
        self._names = names
        self._object: JsonText | None = None
        self.has_begun = False

    def take(self, text: str) -> tuple[list[CallPiece], int]:
        """See ``pieces.CallStream``."""
        pieces: list[CallPiece] = []
        place = 0
        while True:
            if self._object is None:
                head = self._head.match(text, place)
                if head is None or head["name"] not in self._names:
                    return pieces, place
                pieces.append(CallStart(head["name"], head.groupdict().get("id") or ""))
                self._object, self.has_begun, place = JsonText(), True, head.end()
            given, used = self._object.push(text[place:])
            place += used
            if given:
                pieces.append(CallDelta(given))
            if self._object.is_done:
                pieces.append(CallEnd(is_whole=True))
                self._object = None
                continue
            return pieces, place

    def finish(self, rest: str, *, is_cut: bool) -> tuple[list[CallPiece], str]:
        """See ``pieces.CallStream``. Brackets that the model forgot are made up for."""
        if self._object is not None:
            closing = None if is_cut else self._object.closing(rest)
            self._object = None
            if closing is not None:
                return [CallDelta(closing), CallEnd(is_whole=True)], ""
            return [CallEnd(is_whole=False)], "" if is_cut else rest
        if self.has_begun and self._between.fullmatch(rest):
            return [], ""
        calls = self._read(rest)
        if calls is None and self.has_begun:
            calls = self._read(rest.strip().lstrip(",;]}").rstrip("]"))
        if calls is not None:
            return pieces_of(calls), ""
        named = _NAME_ALONE.match(rest) if is_cut else None
        if named is not None and named["name"] in self._names:
            return [CallStart(named["name"]), CallEnd(is_whole=False)], ""
        return [], "" if is_cut and self.has_begun else rest


def pieces_of(calls: list[Call]) -> list[CallPiece]:
    """Calls that are whole."""
    return [
        piece
        for call in calls
        for piece in (CallStart(call.name, call.id), CallDelta(call.arguments), CallEnd(is_whole=True))
    ]


def json_calls(read: Read, more: str = "") -> Callable[[Collection[str]], JsonCalls]:
    """For calls that are JSON objects with a name and arguments, or lists of them; ``more`` may stand between two."""
    between = JSON_BETWEEN if not more else JSON_BETWEEN.replace("(?:", f"(?:{re.escape(more)}|", 1)
    return partial(JsonCalls, JSON_HEAD, between, read)


def bare_calls(names: Collection[str]) -> JsonCalls:
    """For JSON that no marker says to be calls: only what calls tools of these ``names`` is."""

    def read(text: str) -> list[Call] | None:
        calls = calls_in_json(text)
        return calls if calls is not None and all(call.name in names for call in calls) else None

    return JsonCalls(JSON_HEAD, JSON_BETWEEN, read, names)
