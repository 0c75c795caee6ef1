"""The wire format of protocol buffers, as far as reading a message and leaving parts of it out needs it.

Nothing is trusted: every length is checked against the message around it.
Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

__all__ = ["Field", "ProtobufError", "Span", "encode_field", "fields", "varints"]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_BYTES: Final = {_FIXED64: 8, _FIXED32: 4}
_LONGEST_VARINT = 10


class ProtobufError(ValueError):
    """The bytes are no message; the text says why."""


class Span(NamedTuple):
    """A part of the bytes of a file."""

    start: int
    end: int


class Field(NamedTuple):
    """One field of a message."""

    number: int
    is_varint: bool
    value: int  # of a varint; 0 for others
    start: int  # of the field with its key
    payload: Span  # of bytes, a text or a message inside: without key and length

    @property
    def whole(self) -> Span:
        """With its key."""
        return Span(self.start, self.payload.end)


def fields(data: bytes, span: Span | None = None) -> Iterator[Field]:
    """The fields of the message in ``span`` of ``data``, in their order. Raises ProtobufError."""
    position, end = span if span is not None else Span(0, len(data))
    while position < end:
        start = position
        key, position = _varint(data, position, end)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise ProtobufError(f"a field without a number at byte {start}")
        value = 0
        if kind == _VARINT:
            first = position
            value, position = _varint(data, position, end)
        elif kind == _BYTES:
            length, first = _varint(data, position, end)
            position = first + length
        elif kind in _FIXED_BYTES:
            first = position
            position += _FIXED_BYTES[kind]
        else:
            raise ProtobufError(f"a field of the unknown kind {kind} at byte {start}")
        if position > end:
            raise ProtobufError(f"a field at byte {start} is longer than the message around it")
        yield Field(number, kind == _VARINT, value, start, Span(first, position))


def varints(data: bytes, span: Span) -> Iterator[int]:
    """The numbers of a packed field."""
    position = span.start
    while position < span.end:
        value, position = _varint(data, position, span.end)
        yield value


def encode_field(number: int, payload: bytes) -> bytes:
    """A field of bytes, a text or a message."""
    return _encode_varint(number << 3 | _BYTES) + _encode_varint(len(payload)) + payload


def _varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    value = shift = 0
    for place in range(position, min(end, position + _LONGEST_VARINT)):
        byte = data[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place + 1
        shift += 7
    raise ProtobufError(f"a number at byte {position} does not end")


def _encode_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
