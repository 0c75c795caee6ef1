"""safetensors headers: real ones are read, torn and lying ones refused."""

from __future__ import annotations

import contextlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgellm.errors import AccessError, CheckpointError, NotFoundError
from edgellm.formats.safetensors import read_header


def file_bytes(header: Any, data_bytes: int) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + b"\0" * data_bytes


def entry(dtype: str, shape: list[int], start: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def read(tmp_path: Path, data: bytes) -> dict[str, Any]:
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    return read_header(path)  # type: ignore[return-value]


GOOD = {
    "__metadata__": {"format": "pt"},
    "b": entry("F32", [2, 2], 8, 24),
    "a": entry("BF16", [4], 0, 8),
}


def test_reads_a_real_checkpoint(tiny_llm: Path) -> None:
    entries = read_header(tiny_llm / "model.safetensors")
    assert entries["model.embed_tokens.weight"].shape == (8192, 256)
    assert {entry.dtype for entry in entries.values()} == {"BF16"}


def test_entries_come_in_file_order_with_absolute_offsets(tmp_path: Path) -> None:
    data = file_bytes(GOOD, 24)
    entries = read(tmp_path, data)
    assert list(entries) == ["a", "b"]
    assert entries["b"].end == len(data)
    assert entries["a"].end - entries["a"].start == 8


NESTED = b'{"a":' + b"[" * 200_000
BAD = {
    "empty": b"",
    "no header": b"\x10\0\0",
    "huge header": struct.pack("<Q", 1 << 60) + b"{}",
    "header longer than the file": struct.pack("<Q", 400) + b"{}",
    "not JSON": file_bytes(b"hello", 0),
    "not UTF-8": file_bytes(b'{"\xff": 1}', 0),
    "nested JSON": file_bytes(NESTED, 0),
    "a list": file_bytes([1, 2], 0),
    "duplicate names": file_bytes(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
        8,
    ),
    "entry without a shape": file_bytes({"a": {"dtype": "F32", "data_offsets": [0, 4]}}, 4),
    "entry with more fields": file_bytes({"a": entry("F32", [1], 0, 4) | {"x": 1}}, 4),
    "entry that is no object": file_bytes({"a": 3}, 4),
    "unknown dtype": file_bytes({"a": entry("F17", [1], 0, 4)}, 4),
    "negative shape": file_bytes({"a": entry("F32", [-1], 0, 4)}, 4),
    "shape of truth values": file_bytes({"a": entry("F32", [True], 0, 4)}, 4),
    "overflowing shape": file_bytes({"a": entry("F32", [1 << 49, 1 << 49], 0, 4)}, 4),
    "nine dimensions": file_bytes({"a": entry("F32", [1] * 9, 0, 4)}, 4),
    "three offsets": file_bytes({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 8]}}, 8),
    "offsets backwards": file_bytes({"a": entry("F32", [1], 4, 0)}, 4),
    "fewer bytes than the shape": file_bytes({"a": entry("F32", [2], 0, 4)}, 4),
    "past the end": file_bytes({"a": entry("F32", [2], 0, 8)}, 4),
    "overlap": file_bytes({"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 4, 12)}, 12),
    "same place twice": file_bytes({"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 0, 8)}, 8),
    "gap": file_bytes({"a": entry("F32", [1], 0, 4), "b": entry("F32", [1], 8, 12)}, 12),
    "bytes after the last tensor": file_bytes({"a": entry("F32", [1], 0, 4)}, 8),
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
def test_refuses_a_lying_header(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(CheckpointError):
        read(tmp_path, data)


def test_a_truncated_file_says_where_it_ends(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cut off"):
        read(tmp_path, file_bytes(GOOD, 20))


def test_paths_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="absent"):
        read_header(tmp_path / "absent.safetensors")
    folder = tmp_path / "folder.safetensors"
    folder.mkdir()
    with pytest.raises(Exception) as caught:
        read_header(folder)
    assert type(caught.value).__module__ == AccessError.__module__


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, 160), st.integers(0, 255)), min_size=1, max_size=6))
def test_mutated_headers_raise_nothing_else(tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    data = bytearray(file_bytes(GOOD, 24))
    for position, value in changes:
        data[position % len(data)] = value
    with contextlib.suppress(CheckpointError):
        read(tmp_path, bytes(data))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["dtype", "shape", "a"]), inner),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fields=st.fixed_dictionaries({"dtype": st.just("F32") | JSON, "shape": JSON, "data_offsets": JSON}))
def test_any_json_in_an_entry_raises_nothing_else(tmp_path: Path, fields: Any) -> None:
    with contextlib.suppress(CheckpointError):
        read(tmp_path, file_bytes({"a": fields}, 8))
