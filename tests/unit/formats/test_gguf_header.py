"""GGUF headers: what the gguf package writes is read back; what is torn or lying is refused."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgellm.errors import ModelFileError, NotFoundError
from edgellm.formats.ggml_types import TYPES, is_quantized, row_bytes
from edgellm.formats.gguf import ArraySummary, GGUFHeader, read_header


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def key(name: str, type_id: int, payload: bytes) -> bytes:
    return text(name) + struct.pack("<I", type_id) + payload


def tensor(name: str, shape: tuple[int, ...], type_id: int, offset: int) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, type_id, offset)


def file_bytes(
    keys: list[bytes],
    tensors: list[bytes],
    *,
    version: int = 3,
    n_keys: int | None = None,
    n_tensors: int | None = None,
    data_bytes: int = 0,
) -> bytes:
    head = b"GGUF" + struct.pack(
        "<IQQ", version, len(tensors) if n_tensors is None else n_tensors, len(keys) if n_keys is None else n_keys
    )
    head += b"".join(keys) + b"".join(tensors)
    return head + b"\0" * (-len(head) % 32) + b"\0" * data_bytes


ARCHITECTURE = key("general.architecture", 8, text("llama"))
SMALL = file_bytes(
    [ARCHITECTURE, key("tokens", 9, struct.pack("<IQ", 8, 3) + text("a") + text("b") + text("ü"))],
    [tensor("a", (32, 2), 8, 0), tensor("b", (8,), 0, 96)],
    data_bytes=128,
)


def read(tmp_path: Path, data: bytes) -> GGUFHeader:
    path = tmp_path / "model.gguf"
    path.write_bytes(data)
    return read_header(path)


def test_reads_metadata_and_tensor_table(tmp_path: Path) -> None:
    header = read(tmp_path, SMALL)
    assert header.version == 3
    assert header.architecture == "llama"
    assert header.metadata["tokens"] == ["a", "b", "ü"]
    assert header.types == {"general.architecture": "str", "tokens": "arr[str]"}
    assert [(t.name, t.type, t.shape, t.size_bytes) for t in header.tensors] == [
        ("a", "Q8_0", (32, 2), 68),
        ("b", "F32", (8,), 32),
    ]
    assert header.tensors[1].offset_bytes == header.data_offset_bytes + 96
    start, end = header.spans["general.architecture"]
    assert SMALL[start:end] == ARCHITECTURE


def test_reads_what_the_gguf_package_writes(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    np = pytest.importorskip("numpy")
    path = tmp_path / "model.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_array("numbers", [1, 2, 3])
    writer.add_array("many", [f"token{i}" for i in range(2000)])
    writer.add_float32("eps", 0.5)
    writer.add_bool("flag", True)
    writer.add_tensor("x", np.ones((4, 32), np.float32))
    writer.add_tensor("y", np.ones((7,), np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    header = read_header(path)
    assert header.metadata["numbers"] == [1, 2, 3]
    assert header.metadata["many"][1999] == "token1999"  # type: ignore[index]
    assert (header.metadata["eps"], header.metadata["flag"]) == (0.5, True)
    reader = gguf.GGUFReader(path)
    assert [(t.name, t.offset_bytes, t.size_bytes) for t in header.tensors] == [
        (t.name, t.data_offset, t.n_bytes) for t in reader.tensors
    ]
    summary = read_header(path, skip_arrays=True)
    assert summary.metadata["many"] == ArraySummary("str", 2000)
    assert summary.metadata["numbers"] == [1, 2, 3]
    assert summary.tensors == header.tensors


HUGE = 1 << 62
BAD = {
    "not GGUF": b"GGML" + SMALL[4:],
    "empty": b"",
    "newer version": file_bytes([ARCHITECTURE], [], version=4),
    "version 1": file_bytes([ARCHITECTURE], [], version=1),
    "big endian": b"GGUF" + struct.pack(">IQQ", 3, 0, 0),
    "absurd key count": file_bytes([ARCHITECTURE], [], n_keys=HUGE),
    "absurd tensor count": file_bytes([ARCHITECTURE], [], n_tensors=HUGE),
    "more keys than there are": file_bytes([ARCHITECTURE], [], n_keys=2),
    "absurd string": file_bytes([text("k") + struct.pack("<IQ", 8, HUGE)], []),
    "absurd array of numbers": file_bytes([key("k", 9, struct.pack("<IQ", 4, HUGE))], []),
    "absurd array of strings": file_bytes([key("k", 9, struct.pack("<IQ", 8, HUGE))], []),
    "array of arrays": file_bytes([key("k", 9, struct.pack("<IQ", 9, 1))], []),
    "unknown value type": file_bytes([key("k", 77, b"\0" * 8)], []),
    "duplicate key": file_bytes([ARCHITECTURE, ARCHITECTURE], []),
    "nameless key": file_bytes([key("", 4, b"\0" * 4)], []),
    "key that is not text": file_bytes([struct.pack("<Q", 2) + b"\xff\xfe" + struct.pack("<II", 4, 0)], []),
    "alignment of 3": file_bytes([key("general.alignment", 4, struct.pack("<I", 3))], []),
    "alignment of 0": file_bytes([key("general.alignment", 4, struct.pack("<I", 0))], []),
    "alignment as text": file_bytes([key("general.alignment", 8, text("32"))], []),
    "duplicate tensor": file_bytes([], [tensor("a", (8,), 0, 0), tensor("a", (8,), 0, 32)], data_bytes=64),
    "overlapping tensors": file_bytes([], [tensor("a", (8,), 0, 0), tensor("b", (8,), 0, 0)], data_bytes=64),
    "tensor outside the file": file_bytes([], [tensor("a", (64,), 0, 0)], data_bytes=128),
    "gap before the first tensor": file_bytes([], [tensor("a", (8,), 0, 32)], data_bytes=64),
    "unknown tensor type": file_bytes([], [tensor("a", (8,), 4, 0)], data_bytes=64),
    "half a block": file_bytes([], [tensor("a", (100,), 12, 0)], data_bytes=640),
    "five dimensions": file_bytes([], [tensor("a", (1, 1, 1, 1, 1), 0, 0)], data_bytes=64),
    "no elements": file_bytes([], [tensor("a", (0, 4), 0, 0)], data_bytes=64),
    "overflowing shape": file_bytes([], [tensor("a", (HUGE, HUGE), 0, 0)], data_bytes=64),
    "long tensor name": file_bytes([], [tensor("a" * 64, (8,), 0, 0)], data_bytes=64),
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
def test_refuses_a_lying_header(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ModelFileError):
        read(tmp_path, data)


def test_a_newer_version_says_which_ones_are_read(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"version 4, newer .* \(versions 2 and 3\)"):
        read(tmp_path, BAD["newer version"])


@pytest.mark.parametrize("length", range(0, len(SMALL) - 1, 7))
def test_refuses_every_truncation(tmp_path: Path, length: int) -> None:
    with pytest.raises(ModelFileError):
        read(tmp_path, SMALL[: min(length, len(SMALL) - 97)])


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        read_header(tmp_path / "absent.gguf")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_mutated_headers_raise_nothing_else(tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    data = bytearray(SMALL)
    for position, value in changes:
        data[position] = value
    with contextlib.suppress(ModelFileError):
        read(tmp_path, bytes(data))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tail=st.binary(max_size=300), start=st.sampled_from([b"", b"GGUF", SMALL[:24]]))
def test_random_bytes_raise_nothing_else(tmp_path: Path, tail: bytes, start: bytes) -> None:
    with contextlib.suppress(ModelFileError):
        read(tmp_path, start + tail)


def test_row_bytes_refuses_part_of_a_block() -> None:
    assert row_bytes("Q4_K", 512) == 288
    assert is_quantized("Q4_K")
    assert not is_quantized("BF16")
    with pytest.raises(ValueError):
        row_bytes("Q4_K", 100)
    assert all(entry.block_bytes > 0 for entry in TYPES.values())


@pytest.mark.parametrize("shift", range(12))
def test_numbers_may_lie_across_the_reader_s_buffer(tmp_path: Path, shift: int) -> None:
    """The reader fills its buffer a mebibyte at a time: a number on that border is read like any other."""
    import struct

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 3)
    head += text("general.architecture") + struct.pack("<I", 8) + text("llama") + text("a") + struct.pack("<I", 8)
    filler = "x" * ((1 << 20) - len(head) - 8 - 20 + shift)
    body = head + text(filler) + text("n") + struct.pack("<IQ", 10, 12345678901)
    body += text("t") + struct.pack("<IQIQ", 1, 8, 0, 0)
    body += bytes(-len(body) % 32) + bytes(32)
    (tmp_path / "m.gguf").write_bytes(body)
    header = read_header(tmp_path / "m.gguf")
    assert header.metadata["n"] == 12345678901
    assert header.tensors[0].shape == (8,)
