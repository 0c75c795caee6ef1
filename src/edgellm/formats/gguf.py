"""The header of a GGUF file: metadata and tensor table, read without trusting a single number in it.

Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. What llama.cpp's own reader refuses is refused here
too (tensors must follow each other without gaps, for example), and refused with an error instead of an abort.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgellm.files import os_errors
from edgellm.formats.ggml_types import TYPE_BY_ID, row_bytes
from edgellm.formats.gguf_cursor import HEADER_LIMIT_BYTES, ArraySummary, ByteStream, Cursor, GGUFValue

__all__ = ["READ_VERSIONS", "ArraySummary", "GGUFHeader", "GGUFValue", "TensorEntry", "parse_header", "read_header"]

READ_VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32
_N_KEYS_LIMIT = 1 << 16
N_TENSORS_LIMIT = 1 << 18
_N_DIMS_LIMIT = 4
_NAME_LIMIT_BYTES = 64  # GGML_MAX_NAME, with its closing NUL
_ELEMENTS_LIMIT = 1 << 50


@dataclass(frozen=True)
class TensorEntry:
    """One row of the tensor table."""

    name: str
    type: str  # ggml type name in upper case
    shape: tuple[int, ...]  # ggml order: the row length first
    offset_bytes: int  # from the start of the file
    size_bytes: int
    part: int = 0  # which file of a split model holds it


@dataclass(frozen=True)
class GGUFHeader:
    """Everything before the tensor data.

    ``types`` gives the GGUF value type of every key ("u32", "str", "arr[i32]"), ``spans`` where its record (key, type
    and value) lies in the file: [start, end).
    """

    version: int
    alignment: int
    metadata: dict[str, GGUFValue]
    types: dict[str, str]
    spans: dict[str, tuple[int, int]]
    tensors: tuple[TensorEntry, ...]
    data_offset_bytes: int
    file_bytes: int

    @property
    def architecture(self) -> str:
        """``general.architecture``, or an empty string."""
        value = self.metadata.get("general.architecture", "")
        return value if isinstance(value, str) else ""


def read_header(path: Path, *, skip_arrays: bool = False) -> GGUFHeader:
    """Read the header of the GGUF file at ``path``.

    With ``skip_arrays`` an array of more than 1024 entries becomes an ``ArraySummary``: a vocabulary of 150,000 tokens
    then costs no memory. Raises ModelFileError for a file that is not GGUF, torn, lying or of a version that we cannot
    read; NotFoundError or AccessError when it cannot be opened.
    """
    with os_errors(f"read {path}"), path.open("rb") as file:
        file_bytes = file.seek(0, 2)
        file.seek(0)
        return parse_header(file, file_bytes, str(path), skip_arrays=skip_arrays)


def parse_header(file: ByteStream, file_bytes: int, name: str, *, skip_arrays: bool = False) -> GGUFHeader:
    """Read the header of a GGUF of ``file_bytes`` bytes, front to back, from a stream that stands at its first byte.

    ``name`` is what errors call it. Raises ModelFileError, and what reading the stream raises.
    """
    return _parse(Cursor(file, file_bytes, name), skip_arrays)


def _parse(cursor: Cursor, skip_arrays: bool) -> GGUFHeader:
    version = _version(cursor)
    n_tensors = cursor.u64("the number of tensors")
    n_keys = cursor.u64("the number of keys")
    cursor.expect_room(n_keys, 13, _N_KEYS_LIMIT, "metadata keys")
    cursor.expect_room(n_tensors, 24, N_TENSORS_LIMIT, "tensors")
    metadata: dict[str, GGUFValue] = {}
    types: dict[str, str] = {}
    spans: dict[str, tuple[int, int]] = {}
    for number in range(n_keys):
        start = cursor.position
        key = cursor.string(f"the name of key {number}", strict=True)
        if not key:
            raise cursor.error(f"key {number} has no name")
        if key in metadata:
            raise cursor.error(f"the key {key!r} is there twice")
        types[key], metadata[key] = cursor.value(key, skip_arrays)
        spans[key] = (start, cursor.position)
    alignment = _alignment(cursor, metadata, types)
    rows = _tensor_rows(cursor, n_tensors)
    data_offset = -(-cursor.position // alignment) * alignment
    return GGUFHeader(
        version=version,
        alignment=alignment,
        metadata=metadata,
        types=types,
        spans=spans,
        tensors=_place(cursor, rows, data_offset, alignment),
        data_offset_bytes=data_offset,
        file_bytes=cursor.file_bytes,
    )


def _version(cursor: Cursor) -> int:
    if cursor.take(4, "the magic number") != b"GGUF":
        raise cursor.error("it does not begin with GGUF", hint="give a GGUF file, or the folder of a checkpoint")
    version = cursor.u32("the version")
    if version & 0xFFFF == 0 and version:
        raise cursor.error("it is big-endian", hint="convert it again for little-endian machines")
    if version > READ_VERSIONS[-1]:
        raise cursor.error(
            f"it is GGUF version {version}, newer than this program reads (versions 2 and 3)",
            hint="update edgellm, or convert the model again with an older converter",
        )
    if version not in READ_VERSIONS:
        raise cursor.error(
            f"it is GGUF version {version}; versions 2 and 3 are read",
            hint="convert the model again from its checkpoint",
        )
    return version


def _alignment(cursor: Cursor, metadata: dict[str, GGUFValue], types: dict[str, str]) -> int:
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if types.get("general.alignment", "u32") != "u32" or not isinstance(alignment, int):
        raise cursor.error("general.alignment is not a u32")
    if alignment < 1 or alignment & (alignment - 1) or alignment > HEADER_LIMIT_BYTES:
        raise cursor.error(f"its alignment of {alignment} bytes is not a power of two")
    return alignment


def _tensor_rows(cursor: Cursor, n_tensors: int) -> list[tuple[str, str, tuple[int, ...], int, int]]:
    """Name, type, shape, offset inside the data section and size of every tensor."""
    rows = []
    seen = set()
    for number in range(n_tensors):
        name = cursor.string(f"the name of tensor {number}", strict=True)
        if len(name.encode()) >= _NAME_LIMIT_BYTES:
            raise cursor.error(f"the name of tensor {number} is longer than {_NAME_LIMIT_BYTES - 1} bytes")
        if name in seen:
            raise cursor.error(f"the tensor {name!r} is there twice")
        seen.add(name)
        n_dims = cursor.u32(f"the dimensions of {name}")
        if n_dims > _N_DIMS_LIMIT:
            raise cursor.error(f"the tensor {name!r} has {n_dims} dimensions")
        shape = tuple(cursor.u64(f"the shape of {name}") for _ in range(n_dims))
        n_elements = 1
        for length in shape:
            n_elements *= length
        if not 0 < n_elements <= _ELEMENTS_LIMIT:
            raise cursor.error(f"the tensor {name!r} has the impossible shape {list(shape)}")
        type_id = cursor.u32(f"the type of {name}")
        entry = TYPE_BY_ID.get(type_id)
        if entry is None:
            raise cursor.error(
                f"the tensor {name!r} has type number {type_id}, which this program does not know",
                hint="update edgellm, or take a file with another quantization",
            )
        row_length = shape[0] if shape else 1
        if row_length % entry.block_size:
            raise cursor.error(f"rows of {row_length} in {name!r} are not a whole number of {entry.name} blocks")
        size = row_bytes(entry.name, row_length) * (n_elements // row_length)
        rows.append((name, entry.name, shape, cursor.u64(f"the offset of {name}"), size))
    return rows


def _place(
    cursor: Cursor, rows: list[tuple[str, str, tuple[int, ...], int, int]], data_offset: int, alignment: int
) -> tuple[TensorEntry, ...]:
    """Check that the tensors lie one after the other inside the file."""
    expected = 0
    tensors = []
    for name, type_name, shape, offset, size in rows:
        if offset != expected:
            raise cursor.error(f"the tensor {name!r} lies at offset {offset} instead of {expected}")
        end = data_offset + offset + size
        if end > cursor.file_bytes:
            raise cursor.error(
                f"it is cut off: the tensor {name!r} ends at byte {end}, the file has {cursor.file_bytes}",
                hint="download or convert it again",
            )
        tensors.append(TensorEntry(name, type_name, shape, data_offset + offset, size))
        expected += -(-size // alignment) * alignment
    return tuple(tensors)
