"""Bytes of a GGUF header: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, version 3, little-endian."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgellm.devices.model import TensorShape
from edgellm.errors import CheckpointError
from edgellm.formats.ggml_types import TYPES, row_bytes
from edgellm_converters.arch.metadata import MetadataEntry

__all__ = ["ALIGNMENT", "Layout", "encode_entry", "make_layout", "padding"]

ALIGNMENT = 32
_VERSION = 3
_ARRAY = 9
_IDS = {"u8": 0, "i8": 1, "u16": 2, "i16": 3, "u32": 4, "i32": 5, "f32": 6, "bool": 7, "str": 8, "u64": 10, "i64": 11}
_CODES = {"u8": "B", "i8": "b", "u16": "H", "i16": "h", "u32": "I", "i32": "i", "f32": "f", "bool": "?",
          "u64": "Q", "i64": "q"}  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """A GGUF before its data: the header's bytes, padded, and the tensors in the order of their data."""

    header: bytes
    tensors: tuple[TensorShape, ...]
    alignment: int

    @property
    def total_bytes(self) -> int:
        """Size of the finished file."""
        return len(self.header) + sum(
            tensor.size_bytes + padding(tensor.size_bytes, self.alignment) for tensor in self.tensors
        )


def padding(size_bytes: int, alignment: int = ALIGNMENT) -> int:
    """Zero bytes that follow ``size_bytes`` bytes."""
    return -size_bytes % alignment


def encode_entry(entry: MetadataEntry) -> bytes:
    """One key with its value. Raises CheckpointError for a value that its type cannot hold."""
    key, value, type_name = entry
    try:
        if type_name.startswith("arr["):
            item = type_name[4:-1]
            if not isinstance(value, list):
                raise TypeError
            head = struct.pack("<IIQ", _ARRAY, _IDS[item], len(value))
            return _text(key) + head + _items(value, item)
        return _text(key) + struct.pack("<I", _IDS[type_name]) + _items([value], type_name)
    except (struct.error, OverflowError, TypeError, AttributeError, UnicodeEncodeError) as error:
        raise CheckpointError(
            f"the value of {key} does not fit its type {type_name}", hint="check the checkpoint's JSON files"
        ) from error


def _items(values: Sequence[object], item: str) -> bytes:
    if item == "str":
        return _texts(values)
    return struct.pack(f"<{len(values)}{_CODES[item]}", *values)


def _texts(values: Sequence[object]) -> bytes:
    """Many strings, a vocabulary's say: without a call for each."""
    length = struct.Struct("<Q").pack
    parts: list[bytes] = []
    for value in values:
        if not isinstance(value, str):
            raise TypeError
        raw = value.encode("utf-8")
        parts += (length(len(raw)), raw)
    return b"".join(parts)


def _text(value: object) -> bytes:
    if not isinstance(value, str):
        raise TypeError
    raw = value.encode("utf-8")
    return struct.pack("<Q", len(raw)) + raw


def make_layout(
    keys: Sequence[bytes], tensors: Iterable[tuple[str, str, tuple[int, ...]]], alignment: int = ALIGNMENT
) -> Layout:
    """The header for encoded ``keys`` and for tensors given as (name, ggml type, shape in ggml order)."""
    shapes = []
    table = []
    offset = 0
    for name, type_name, shape in tensors:
        rows = 1
        for length in shape[1:]:
            rows *= length
        size = row_bytes(type_name, shape[0]) * rows
        shapes.append(TensorShape(name=name, type=type_name, shape=shape, size_bytes=size))
        dims = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        table.append(_text(name) + dims + struct.pack("<IQ", TYPES[type_name].id, offset))
        offset += size + padding(size, alignment)
    header = b"GGUF" + struct.pack("<IQQ", _VERSION, len(shapes), len(keys)) + b"".join(keys) + b"".join(table)
    return Layout(header + b"\0" * padding(len(header), alignment), tuple(shapes), alignment)
