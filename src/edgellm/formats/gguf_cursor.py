"""A reading position in a GGUF header. Every length is checked against the file before a byte is read for it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, Protocol

from edgellm.errors import ModelFileError

__all__ = ["HEADER_LIMIT_BYTES", "VALUE_TYPES", "ArraySummary", "ByteStream", "Cursor", "GGUFValue"]

HEADER_LIMIT_BYTES: Final = 256 << 20  # vocabularies of 256,000 tokens take about 15 MB
_ARRAY_LIMIT: Final = 1 << 22
_ARRAYS_LIMIT: Final = 1 << 23  # entries in all arrays of a file
_SUMMARY_ABOVE: Final = 1024
_FIRST_READ_BYTES: Final = 1 << 20
_STRING: Final = 8
_ARRAY: Final = 9

VALUE_TYPES: Final = {
    0: ("u8", "B"),
    1: ("i8", "b"),
    2: ("u16", "H"),
    3: ("i16", "h"),
    4: ("u32", "I"),
    5: ("i32", "i"),
    6: ("f32", "f"),
    7: ("bool", "?"),
    8: ("str", ""),
    10: ("u64", "Q"),
    11: ("i64", "q"),
    12: ("f64", "d"),
}


@dataclass(frozen=True)
class ArraySummary:
    """An array whose entries were not kept."""

    type: str  # of one entry
    length: int


GGUFScalar = int | float | bool | str
GGUFValue = GGUFScalar | list[int] | list[float] | list[bool] | list[str] | ArraySummary


class ByteStream(Protocol):
    """What a header is read from, front to back."""

    def read(self, size_bytes: int, /) -> bytes:
        """The next ``size_bytes`` bytes, fewer at the end."""


class Cursor:
    """Reads the header of ``file`` front to back; ``position`` is the offset of the next byte."""

    def __init__(self, file: ByteStream, file_bytes: int, name: str) -> None:
        self.file_bytes = file_bytes
        self.position = 0
        self._file = file
        self._name = name
        self._buffer = b""
        self._n_array_entries = 0

    def error(self, what: str, *, hint: str | None = None) -> ModelFileError:
        """The error to raise for this file."""
        return ModelFileError(
            f"{self._name} is not a usable GGUF file: {what}", hint=hint or "download or convert it again"
        )

    def expect_room(self, count: int, minimum_bytes: int, limit: int, what: str) -> None:
        """Refuse ``count`` entries of at least ``minimum_bytes`` that the rest of the file cannot hold."""
        if count > limit or count * minimum_bytes > self.file_bytes - self.position:
            raise self.error(f"it claims to hold {count} {what} in {self.file_bytes} bytes")

    def take(self, size_bytes: int, what: str) -> bytes:
        """The next ``size_bytes`` bytes."""
        start = self._advance(size_bytes, what)
        return self._buffer[start : self.position]

    def u32(self, what: str) -> int:
        """The next unsigned 32-bit number."""
        return int(self._unpack("<I", what))

    def u64(self, what: str) -> int:
        """The next unsigned 64-bit number."""
        return int(self._unpack("<Q", what))

    def string(self, what: str, *, strict: bool = False) -> str:
        """The next string. ``strict`` refuses what is not UTF-8; otherwise it becomes replacement characters."""
        raw = self.take(self.u64(what), what)
        try:
            return raw.decode("utf-8", "strict" if strict else "replace")
        except UnicodeDecodeError:
            raise self.error(f"{what} is not UTF-8") from None

    def value(self, key: str, skip_arrays: bool) -> tuple[str, GGUFValue]:
        """Type name and value of the key ``key``."""
        type_id = self.u32(key)
        if type_id != _ARRAY:
            return self._type_name(type_id, key), self._scalar(type_id, key)
        type_id = self.u32(key)
        name = self._type_name(type_id, key)
        length = self.u64(key)
        self._n_array_entries += length
        if self._n_array_entries > _ARRAYS_LIMIT:
            raise self.error(f"its arrays claim to hold more than {_ARRAYS_LIMIT} entries")
        summary = ArraySummary(name, length) if skip_arrays and length > _SUMMARY_ABOVE else None
        if type_id == _STRING:
            self.expect_room(length, 8, _ARRAY_LIMIT, f"strings in {key}")
            strings = self._strings(length, key, keep=summary is None)
            return f"arr[{name}]", summary or strings
        return f"arr[{name}]", self._numbers(type_id, length, key, summary)

    def _type_name(self, type_id: int, key: str) -> str:
        if type_id not in VALUE_TYPES:
            raise self.error(f"the key {key!r} has the unknown value type {type_id}")
        return VALUE_TYPES[type_id][0]

    def _scalar(self, type_id: int, key: str) -> GGUFScalar:
        if type_id == _STRING:
            return self.string(f"the value of {key}")
        return self._unpack("<" + VALUE_TYPES[type_id][1], key)

    def _numbers(self, type_id: int, length: int, key: str, summary: ArraySummary | None) -> GGUFValue:
        code = VALUE_TYPES[type_id][1]
        self.expect_room(length, struct.calcsize(code), _ARRAY_LIMIT, f"numbers in {key}")
        start = self._advance(length * struct.calcsize("<" + code), key)
        return summary or list(struct.unpack_from(f"<{length}{code}", self._buffer, start))

    def _strings(self, length: int, key: str, *, keep: bool) -> list[str]:
        """Walk over ``length`` strings; returns them, or nothing when they are not to be kept."""
        strings: list[str] = []
        unpack = struct.Struct("<Q").unpack_from
        for _ in range(length):
            start = self.position
            if start + 8 > len(self._buffer):
                self._fill(start + 8, key)
            size = unpack(self._buffer, start)[0]
            end = start + 8 + size
            if end > len(self._buffer):
                self._fill(end, key)
            if keep:
                strings.append(self._buffer[start + 8 : end].decode("utf-8", "replace"))
            self.position = end
        return strings

    def _unpack(self, layout: str, what: str) -> GGUFScalar:
        start = self._advance(struct.calcsize(layout), what)  # first: it may put another buffer in place
        value: GGUFScalar = struct.unpack_from(layout, self._buffer, start)[0]
        return value

    def _advance(self, size_bytes: int, what: str) -> int:
        """Make ``size_bytes`` available; returns where they start in the buffer."""
        start = self.position
        if start + size_bytes > len(self._buffer):
            self._fill(start + size_bytes, what)
        self.position = start + size_bytes
        return start

    def _fill(self, end: int, what: str) -> None:
        """Read on until the buffer, which starts at the file's first byte, reaches ``end``."""
        if end > self.file_bytes:
            raise self.error(f"it is cut off in its header, at {what}")
        if end > HEADER_LIMIT_BYTES:
            raise self.error(f"its header is longer than {HEADER_LIMIT_BYTES >> 20} MiB")
        wanted = min(max(end, 2 * len(self._buffer), _FIRST_READ_BYTES), self.file_bytes, HEADER_LIMIT_BYTES)
        self._buffer += self._file.read(wanted - len(self._buffer))
        if len(self._buffer) < end:
            raise self.error(f"it is cut off in its header, at {what}")
