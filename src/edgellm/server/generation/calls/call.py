"""One call of a tool, and JSON that holds some."""

from __future__ import annotations

import json
import re
import secrets
import string
from collections.abc import Collection
from typing import Any, NamedTuple

import msgspec

__all__ = [
    "SHORT_ID_LENGTH",
    "Call",
    "call_json",
    "calls_in_json",
    "encode",
    "is_unfinished",
    "may_be_bare_call",
    "new_call_id",
]

SHORT_ID_LENGTH = 9  # Mistral's templates refuse ids of another length
_ID_LETTERS = string.ascii_letters + string.digits
_NAME_KEYS = ("name", "function", "tool_name")
_ARGUMENT_KEYS = ("arguments", "parameters", "args")
_BEFORE_KEY = re.compile(r'[\s\[]*(\{\s*("[^"]*("\s*)?)?)?')
_FIRST_KEY = re.compile(r'[\s\[]*\{\s*"([^"]*)"\s*:\s*')


class Call(NamedTuple):
    """``arguments`` is the text of a JSON object. ``id`` is empty where the model gave none."""

    name: str
    arguments: str
    id: str = ""


def new_call_id(*, short: bool = False) -> str:
    """An id that no other call has."""
    if short:
        return "".join(secrets.choice(_ID_LETTERS) for _ in range(SHORT_ID_LENGTH))
    return "call_" + "".join(secrets.choice(_ID_LETTERS) for _ in range(24))


def calls_in_json(text: str) -> list[Call] | None:
    """The calls that ``text`` consists of: JSON objects or lists of them, with nothing but commas, semicolons and white
    space between. None where it is anything else, or empty."""
    decoder = json.JSONDecoder(strict=False)  # models write line breaks into strings
    found: list[Call] = []
    place = _skip(text, 0)
    while place < len(text):
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            return None
        calls = _read(value)
        if calls is None:
            return None
        found += calls
        place = _skip(text, place)
    return found or None


def _read(value: Any) -> list[Call] | None:
    """The calls in a JSON value, None where it holds something else."""
    if isinstance(value, list):
        lists = [_read(item) for item in value if isinstance(item, dict)]
        if len(lists) != len(value) or None in lists:
            return None
        return [call for calls in lists for call in calls or []]
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("function"), dict):  # as OpenAI writes it
        value = {**value["function"], "id": value.get("id")}
    name = next((value[key] for key in _NAME_KEYS if isinstance(value.get(key), str)), None)
    arguments: Any = next((value[key] for key in _ARGUMENT_KEYS if key in value), {})
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments, strict=False)
        except (ValueError, RecursionError):
            return None
    if not name or not isinstance(arguments, dict | None):
        return None
    call_id = value.get("id")
    return [Call(name, encode(arguments or {}), call_id if isinstance(call_id, str) else "")]


def call_json(call: Call, arguments_key: str = "arguments") -> str:
    """``call`` as a JSON object."""
    return f'{{"name": {json.dumps(call.name, ensure_ascii=False)}, "{arguments_key}": {call.arguments}}}'


def encode(arguments: dict[str, Any]) -> str:
    """``arguments`` as the text of a JSON object."""
    return msgspec.json.encode(arguments).decode("utf-8")


def may_be_bare_call(text: str, names: Collection[str]) -> bool:
    """False as soon as ``text``, the beginning of a JSON value, cannot become a call of one of ``names``."""
    match = _FIRST_KEY.match(text)
    if match is None:
        return _BEFORE_KEY.fullmatch(text) is not None
    if match[1] not in _NAME_KEYS:
        return match[1] in (*_ARGUMENT_KEYS, "type", "id")
    value = text[match.end() :]
    if not value.startswith('"'):
        return not value or value.startswith("{")
    name, quote, _ = value[1:].partition('"')
    return name in names if quote else any(each.startswith(name) for each in names)


def is_unfinished(text: str) -> bool:
    """True where the JSON ``text`` ends inside a string: what looks like a marker there is none."""
    inside = escaped = False
    if not text.lstrip().startswith(("{", "[")):
        return False
    for character in text:
        if escaped:
            escaped = False
        elif inside and character == "\\":
            escaped = True
        elif character == '"':
            inside = not inside
    return inside


def _skip(text: str, place: int) -> int:
    while place < len(text) and (text[place].isspace() or text[place] in ",;"):
        place += 1
    return place
