"""The header of a safetensors file, read without trusting it.

Layout: https://github.com/huggingface/safetensors#format. Eight bytes of header length, JSON, then the tensors, which
must cover the rest of the file without a gap or an overlap.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import NamedTuple

from edgellm.errors import CheckpointError
from edgellm.files import os_errors

__all__ = ["DTYPE_BYTES", "SafetensorsEntry", "read_header"]

HEADER_LIMIT_BYTES = 100_000_000  # the limit of the reference implementation
_N_DIMS_LIMIT = 8

DTYPE_BYTES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "F8_E8M0": 1,
    "U16": 2,
    "I16": 2,
    "F16": 2,
    "BF16": 2,
    "U32": 4,
    "I32": 4,
    "F32": 4,
    "U64": 8,
    "I64": 8,
    "F64": 8,
}


class SafetensorsEntry(NamedTuple):
    """One tensor: ``start`` and ``end`` are offsets from the beginning of the file."""

    dtype: str  # as in the file: "BF16", "F32"
    shape: tuple[int, ...]  # row-major, the row length last
    start: int
    end: int


def read_header(path: Path) -> dict[str, SafetensorsEntry]:
    """The tensors of the safetensors file at ``path``, in the order of their bytes.

    Raises CheckpointError for a file that is torn or lying; NotFoundError or AccessError when it cannot be opened.
    """
    with os_errors(f"read {path}"), path.open("rb") as file:
        file_bytes = file.seek(0, 2)
        file.seek(0)
        prefix = file.read(8)
        if len(prefix) < 8:
            raise _error(path, f"it has only {file_bytes} bytes")
        header_bytes = struct.unpack("<Q", prefix)[0]
        if header_bytes > HEADER_LIMIT_BYTES:
            raise _error(path, f"its header claims {header_bytes} bytes")
        if 8 + header_bytes > file_bytes:
            raise _error(path, f"it is cut off: its header ends at byte {8 + header_bytes}, the file has {file_bytes}")
        header = file.read(header_bytes)
    entries = _entries(path, _parse_json(path, header), 8 + header_bytes)
    _check_coverage(path, entries, 8 + header_bytes, file_bytes)
    return entries


def _error(path: Path, what: str) -> CheckpointError:
    return CheckpointError(f"{path} is not a usable safetensors file: {what}", hint="download the checkpoint again")


def _parse_json(path: Path, header: bytes) -> dict[str, object]:
    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        result: dict[str, object] = {}
        for name, value in pairs:
            if name in result:
                raise _error(path, f"{name[:200]!r} is there twice")
            result[name] = value
        return result

    try:
        value = json.loads(header.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise _error(path, f"its header is not JSON ({type(error).__name__})") from None
    if not isinstance(value, dict):
        raise _error(path, "its header is not a JSON object")
    return value


def _entries(path: Path, header: dict[str, object], data_offset: int) -> dict[str, SafetensorsEntry]:
    entries = []
    for name, fields in header.items():
        if name == "__metadata__":
            continue
        if not isinstance(fields, dict) or set(fields) != {"dtype", "shape", "data_offsets"}:
            raise _error(path, f"the entry {name!r} does not have dtype, shape and data_offsets")
        dtype, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
        if not isinstance(dtype, str) or dtype not in DTYPE_BYTES:
            raise _error(path, f"{name!r} has the unknown dtype {str(dtype)[:40]!r}")
        if not _is_lengths(shape) or len(shape) > _N_DIMS_LIMIT:
            raise _error(path, f"{name!r} has the impossible shape {str(shape)[:80]}")
        if not _is_lengths(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
            raise _error(path, f"{name!r} has the impossible offsets {str(offsets)[:80]}")
        entry = SafetensorsEntry(dtype, tuple(shape), data_offset + offsets[0], data_offset + offsets[1])
        if _n_elements(entry.shape) * DTYPE_BYTES[dtype] != offsets[1] - offsets[0]:
            raise _error(path, f"{name!r} is {list(shape)} of {dtype} but has {offsets[1] - offsets[0]} bytes")
        entries.append((name, entry))
    entries.sort(key=lambda item: (item[1].start, item[1].end))
    return dict(entries)


def _is_lengths(value: object) -> bool:
    """True for a list of integers from 0 to 2^50 (bool is not one)."""
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 1 << 50 for item in value)


def _n_elements(shape: tuple[int, ...]) -> int:
    count = 1
    for length in shape:
        count *= length
    return count


def _check_coverage(path: Path, entries: dict[str, SafetensorsEntry], data_offset: int, file_bytes: int) -> None:
    position = data_offset
    for name, entry in entries.items():
        if entry.end > file_bytes:
            raise _error(path, f"it is cut off: {name!r} ends at byte {entry.end}, the file has {file_bytes}")
        if entry.start < position:
            raise _error(path, f"{name!r} overlaps the tensor before it")
        if entry.start > position:
            raise _error(path, f"there are {entry.start - position} bytes that belong to no tensor before {name!r}")
        position = entry.end
    if position != file_bytes:
        raise _error(path, f"there are {file_bytes - position} bytes after the last tensor")
