"""A JSON object that is checked and handed on while it is written."""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["JsonText", "whole_members"]

_PLAIN = re.compile(r'[^"\\\x00-\x1f]+')
_SPACE = re.compile(r"[ \t\n\r]+")
_WORD = re.compile(r"[-+.0-9A-Za-z]+")
_ESCAPE = re.compile(  # no half of a surrogate pair
    r'\\(?:["\\/bfnrt]|u(?![dD][89a-fA-F])[0-9a-fA-F]{4}|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})'
)
_ESCAPE_START = re.compile(r"\\(?:u[0-9a-fA-F]{0,4}(?:\\(?:u[0-9a-fA-F]{0,3})?)?)?")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_WORDS = ("true", "false", "null")
_CLOSERS = {"{": "}", "[": "]"}
_DEEPEST = 200


class JsonText:
    """One object. White space outside of strings is left out, line breaks inside are escaped: models write them.

    ``is_done`` once it is whole, ``has_failed`` where what comes is no JSON; nothing is taken from then on.
    """

    def __init__(self) -> None:
        self.is_done = False
        self.has_failed = False
        self._open: list[str] = []  # what closes each of what is open
        self._in_string = False
        self._is_key = False
        self._expects = "object"  # object, key, first key, colon, value, first value, next

    def push(self, text: str) -> tuple[str, int]:
        """The text to hand on, and how many characters of ``text`` it is made of; the rest is to be given again."""
        out: list[str] = []
        place = 0
        while place < len(text) and not (self.is_done or self.has_failed):
            found = self._string(text, place) if self._in_string else self._outside(text, place)
            if found is None:  # more has to come
                break
            part, place = found
            out.append(part)
        return "".join(out), place

    def closing(self, rest: str) -> str | None:
        """What is missing at the end when ``rest`` was not taken and nothing more comes; None where it is more than
        what closes objects and lists."""
        if self._in_string or not self._open:
            return None
        word = rest.strip()
        if self._expects in ("value", "first value") and _is_word(word):
            return word + "".join(reversed(self._open))
        is_complete = self._expects in ("next", "first key", "first value")
        return "".join(reversed(self._open)) if is_complete and not word else None

    def _string(self, text: str, place: int) -> tuple[str, int] | None:
        plain = _PLAIN.match(text, place)
        if plain is not None:
            return plain[0], plain.end()
        if text[place] == '"':
            self._in_string = False
            self._expects = "colon" if self._is_key else "next"
            return '"', place + 1
        if text[place] != "\\":
            return json.dumps(text[place])[1:-1], place + 1
        escape = _ESCAPE.match(text, place)
        if escape is not None:
            return escape[0], escape.end()
        start = _ESCAPE_START.match(text, place)
        if start is not None and start.end() == len(text):
            return None
        return self._fail(place)

    def _outside(self, text: str, place: int) -> tuple[str, int] | None:
        space = _SPACE.match(text, place)
        if space is not None:
            return "", space.end()
        character, expects = text[place], self._expects
        if character == '"' and expects in ("key", "first key", "value", "first value"):
            self._in_string, self._is_key = True, "key" in expects
            return '"', place + 1
        if character in "{[" and (expects in ("value", "first value") or (expects, character) == ("object", "{")):
            self._open.append(_CLOSERS[character])
            self._expects = "first key" if character == "{" else "first value"
            return (character, place + 1) if len(self._open) <= _DEEPEST else self._fail(place)
        if self._open and character == self._open[-1] and expects in ("next", f"first {_kind(character)}"):
            self._open.pop()
            self._expects = "next"
            self.is_done = not self._open
            return character, place + 1
        if character == "," and expects == "next":
            self._expects = _kind(self._open[-1])
            return ",", place + 1
        if character == ":" and expects == "colon":
            self._expects = "value"
            return ":", place + 1
        return self._word(text, place) if expects in ("value", "first value") else self._fail(place)

    def _word(self, text: str, place: int) -> tuple[str, int] | None:
        word = _WORD.match(text, place)
        if word is None:
            return self._fail(place)
        if word.end() == len(text):
            return None
        if not _is_word(word[0]):
            return self._fail(place)
        self._expects = "next"
        return word[0], word.end()

    def _fail(self, place: int) -> tuple[str, int]:
        self.has_failed = True
        return "", place


def whole_members(text: str) -> dict[str, Any]:
    """The members of the object that ``text``, as ``JsonText`` hands it on, begins: those that are whole."""
    decoder, place = json.JSONDecoder(), 1
    found: dict[str, Any] = {}
    try:
        while True:
            key, place = decoder.raw_decode(text, place)
            value, place = decoder.raw_decode(text, place + 1)
            if text[place] not in ",}":
                return found
            found[str(key)] = value
            place += 1
    except (ValueError, IndexError, RecursionError):
        return found


def _kind(closer: str) -> str:
    return "key" if closer == "}" else "value"


def _is_word(text: str) -> bool:
    return text in _WORDS or _NUMBER.fullmatch(text) is not None
