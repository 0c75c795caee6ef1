"""The llama.cpp backend where GGUF files and the library have rules of their own: damage, limits, cache types."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgellm.errors import ModelFileError, UnsupportedError, UsageError
from edgellm.formats.gguf import read_header
from edgellm_runtimes.backend import BackendSettings, CacheFullError, TokenSlice
from edgellm_runtimes.llama_cpp.deep_stack import LONGEST_RUN
from edgellm_runtimes.llama_cpp.model import LlamaBackend
from large_pages import asking_mappings, needs_large_pages

SETTINGS = BackendSettings(context=256, sequences=3, batch=64, ubatch=32, outputs=40, kv_type_k="f32", kv_type_v="f32")


@pytest.fixture(scope="module")
def backend(tiny_gguf: Path) -> Iterator[LlamaBackend]:
    loaded = LlamaBackend(tiny_gguf, SETTINGS)
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def prompt(backend: LlamaBackend) -> list[int]:
    return backend.vocabulary.tokenize("Friends, Romans, countrymen, lend", add_special=True, parse_special=False)


@pytest.mark.parametrize("character", [" ", "a", "7", "!", "\n", "世", "é"])
def test_a_long_run_of_one_kind_does_not_end_the_process(backend: LlamaBackend, character: str) -> None:
    text = character * LONGEST_RUN
    tokens = backend.vocabulary.tokenize(text, add_special=False, parse_special=False)
    assert b"".join(backend.vocabulary.piece(token) for token in tokens).decode() == text
    with pytest.raises(UsageError, match="run of"):
        backend.vocabulary.tokenize(text + character, add_special=False, parse_special=False)


def test_a_run_is_safe_where_the_pre_tokenizer_recurses(tiny_gguf: Path, tmp_path: Path) -> None:
    data = tiny_gguf.read_bytes()
    assert data.count(b"\x05\0\0\0\0\0\0\0gpt-2") == 1
    path = tmp_path / "bloom.gguf"  # a pre-tokenizer for which llama.cpp has nothing but std::wregex
    path.write_bytes(data.replace(b"\x05\0\0\0\0\0\0\0gpt-2", b"\x05\0\0\0\0\0\0\0bloom"))
    backend = LlamaBackend(path, BackendSettings(context=64))
    try:
        text = "a" * LONGEST_RUN
        tokens = backend.vocabulary.tokenize(text, add_special=False, parse_special=False)
        assert b"".join(backend.vocabulary.piece(token) for token in tokens).decode() == text
    finally:
        backend.close()


def test_text_is_normalized_as_the_tokenizer_does(tiny_gguf: Path) -> None:
    backend = LlamaBackend(tiny_gguf, BackendSettings(context=64), normalization="NFC", extra_ends=[9])
    try:
        decomposed = backend.vocabulary.tokenize("e\u0301", add_special=False, parse_special=False)
        assert decomposed == backend.vocabulary.tokenize("\u00e9", add_special=False, parse_special=False)
        assert backend.vocabulary.is_end(9)
    finally:
        backend.close()
    with pytest.raises(UnsupportedError, match="rot13"):
        LlamaBackend(tiny_gguf, BackendSettings(context=64), normalization="rot13")


def test_a_full_pool_is_told_apart_and_changes_nothing(tiny_gguf: Path) -> None:
    backend = LlamaBackend(tiny_gguf, BackendSettings(context=200, sequences=2, batch=200, ubatch=200))
    try:
        assert backend.limits.n_pool == 512  # llama.cpp rounds up
        for sequence in (0, 1):
            backend.decode([TokenSlice(sequence, [3] * 200, 0)])
        backend.limits = msgspec.structs.replace(backend.limits, n_context=1000)  # let the pool be what is too small
        with pytest.raises(CacheFullError):
            backend.decode([TokenSlice(0, [3] * 150, 0)])
        assert backend.sequence_length(0) == 200
    finally:
        backend.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"context": 0},
        {"context": 2**40},
        {"sequences": 257},
        {"context": 2**20, "sequences": 256},
        {"threads": 0},
        {"batch": 0},
        {"outputs": -1},
        {"kv_type_k": "q2_k"},
        {"kv_type_v": "q8_0", "flash_attention": False},
    ],
)
def test_impossible_settings_are_refused(tiny_gguf: Path, changes: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        LlamaBackend(tiny_gguf, BackendSettings(**{"context": 64, **changes}))


@pytest.mark.parametrize("kv_type", ["f16", "bf16", "q8_0", "q4_0"])
def test_every_offered_kv_type_decodes(tiny_gguf: Path, kv_type: str, prompt: list[int]) -> None:
    backend = LlamaBackend(tiny_gguf, BackendSettings(context=64, kv_type_k=kv_type, kv_type_v=kv_type))
    try:
        assert np.isfinite(backend.decode([TokenSlice(0, prompt)])).all()
    finally:
        backend.close()


def test_without_mapping_and_repacking_the_result_is_the_same(
    tiny_gguf: Path, backend: LlamaBackend, prompt: list[int]
) -> None:
    backend.drop_sequence(0)
    expected = backend.decode([TokenSlice(0, prompt)]).copy()
    settings = BackendSettings(context=64, mmap=False, repack=False, kv_type_k="f32", kv_type_v="f32")
    other = LlamaBackend(tiny_gguf, settings)
    try:
        assert np.allclose(other.decode([TokenSlice(0, prompt)]), expected, atol=2e-3)
    finally:
        other.close()


def test_a_torn_file_is_refused_before_the_library_sees_it(tiny_gguf: Path, tmp_path: Path) -> None:
    path = tmp_path / "torn.gguf"
    path.write_bytes(tiny_gguf.read_bytes()[:-1000])
    with pytest.raises(ModelFileError, match="cut off"):
        LlamaBackend(path, BackendSettings(context=64))


def test_a_newer_version_is_refused(tiny_gguf: Path, tmp_path: Path) -> None:
    path = tmp_path / "newer.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<I", 4) + tiny_gguf.read_bytes()[8:])
    with pytest.raises(ModelFileError, match="version 4"):
        LlamaBackend(path, BackendSettings(context=64))


def test_an_unknown_architecture_is_named(tiny_gguf: Path, tmp_path: Path) -> None:
    data = tiny_gguf.read_bytes()
    path = tmp_path / "unknown.gguf"
    path.write_bytes(data.replace(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0xlama", 1))
    with pytest.raises(UnsupportedError, match="xlama"):
        LlamaBackend(path, BackendSettings(context=64))


def test_the_library_says_why_it_refuses_a_file(tiny_gguf: Path, tmp_path: Path) -> None:
    header = read_header(tiny_gguf)
    data = bytearray(tiny_gguf.read_bytes())
    start, end = header.spans["llama.block_count"]
    data[end - 4 : end] = struct.pack("<I", 9)  # one layer more than the file has
    path = tmp_path / "layers.gguf"
    path.write_bytes(data)
    assert start < end
    with pytest.raises(ModelFileError, match=r"blk\.8"):
        LlamaBackend(path, BackendSettings(context=64))


def test_what_is_no_gguf_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "text.gguf"
    path.write_text("not a model")
    with pytest.raises(ModelFileError, match="GGUF"):
        LlamaBackend(path, BackendSettings(context=64))


def _bytes_in_large_pages() -> int:
    """Of the mappings of this process that asked for them."""
    return sum(last - first for first, last in asking_mappings())


@needs_large_pages
def test_a_large_cache_asks_for_large_pages_and_gives_them_back(tiny_gguf: Path) -> None:
    before = _bytes_in_large_pages()
    loaded = LlamaBackend(tiny_gguf, msgspec.structs.replace(SETTINGS, context=16384))
    try:
        assert _bytes_in_large_pages() >= before + (8 << 20)
    finally:
        loaded.close()
    assert _bytes_in_large_pages() < before + (8 << 20)
