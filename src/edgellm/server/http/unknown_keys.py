"""Keys that this server does not know: clients of all ages send some. They are ignored, and logged once."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect
from starlette.requests import Request

__all__ = ["note_unknown_keys"]

_log = logging.getLogger("edgellm.server")
_MOST_KEYS, _LONGEST_KEY = 16, 40
_MOST_REMEMBERED = 1024
_said: set[tuple[str, tuple[str, ...]]] = set()
_raw_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

Known = dict[str, "Known | None"]
"""What an object may have; under each name what the object there may have, where that is a struct too."""


def note_unknown_keys(request: Request, raw: bytes, kind: type[Any]) -> None:
    """Log the keys of ``raw`` that a ``kind`` has no field for: a line for each path and set of keys."""
    known = _known_keys(kind)  # type: ignore[arg-type]
    if known is None:
        return
    unknown = tuple(sorted(_unknown(raw, known))[:_MOST_KEYS])
    if not unknown:
        return
    once = (request.url.path, unknown)
    if once in _said:
        return
    if len(_said) < _MOST_REMEMBERED:
        _said.add(once)
    _log.info("%s %s: ignored what it does not know: %s", request.method, request.url.path, ", ".join(unknown))


def _unknown(raw: bytes | msgspec.Raw, known: Known, where: str = "") -> list[str]:
    try:
        found = _raw_object(raw)
    except msgspec.DecodeError:
        return []  # not an object: a field may be of several kinds
    names = []
    for name, value in found.items():
        if name not in known:
            names.append(f"{where}{name[:_LONGEST_KEY]!r}")
            continue
        below = known[name]
        if below is not None:
            names += _unknown(value, below, f"{where}{name}.")
    return names


@cache
def _known_keys(kind: type[Any]) -> Known | None:
    """None for what is no struct, and for one that any struct may stand in for."""
    return _keys(inspect.type_info(kind), ())


def _keys(info: inspect.Type, above: tuple[type[Any], ...]) -> Known | None:
    if isinstance(info, inspect.UnionType):
        structs = [each for each in info.types if isinstance(each, inspect.StructType)]
        info = structs[0] if len(structs) == 1 else info
    if not isinstance(info, inspect.StructType) or info.cls in above or info.tag is not None:
        return None
    return {field.encode_name: _keys(field.type, (*above, info.cls)) for field in info.fields}
