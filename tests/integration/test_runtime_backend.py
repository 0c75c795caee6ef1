"""The llama.cpp backend: sequences, logits rows, and errors where the library would end the process."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgellm.errors import BackendError, ModelFileError, NotFoundError, UnsupportedError, UsageError
from edgellm.formats.gguf import read_header
from edgellm_runtimes.backend import BackendSettings, CacheFullError, DecodeAbortedError, TokenSlice
from edgellm_runtimes.llama_cpp.deep_stack import LONGEST_RUN
from edgellm_runtimes.llama_cpp.model import LlamaBackend

SETTINGS = BackendSettings(context=256, sequences=3, batch=64, ubatch=32, outputs=40, kv_type_k="f32", kv_type_v="f32")


@pytest.fixture(scope="module")
def loaded(tiny_gguf: Path) -> Iterator[LlamaBackend]:
    backend = LlamaBackend(tiny_gguf, SETTINGS)
    yield backend
    backend.close()


@pytest.fixture
def backend(loaded: LlamaBackend) -> LlamaBackend:
    for sequence in range(SETTINGS.sequences):
        loaded.drop_sequence(sequence)
    loaded.abort_flag.clear()
    return loaded


@pytest.fixture(scope="module")
def prompt(loaded: LlamaBackend) -> list[int]:
    text = "Friends, Romans, countrymen, lend me your"
    return loaded.vocabulary.tokenize(text, add_special=True, parse_special=False)


def close_to(left: np.ndarray, right: np.ndarray) -> bool:
    return bool(np.allclose(left, right, atol=2e-3))


def test_rows_come_in_the_order_of_the_slices(backend: LlamaBackend, prompt: list[int]) -> None:
    alone = backend.decode([TokenSlice(0, prompt, len(prompt))]).copy()
    assert alone.shape == (len(prompt), backend.limits.n_vocab)
    both = backend.decode([TokenSlice(2, prompt, 2), TokenSlice(1, prompt[:4], 0), TokenSlice(0, [5], 1)])
    assert len(both) == 3
    assert close_to(both[:2], alone[-2:])
    assert [backend.sequence_length(sequence) for sequence in range(3)] == [len(prompt) + 1, 4, len(prompt)]


def test_a_copied_prefix_continues_as_the_original_does(backend: LlamaBackend, prompt: list[int]) -> None:
    rows = backend.decode([TokenSlice(0, prompt, len(prompt))]).copy()
    assert backend.copy_sequence(0, 1, 4)
    assert backend.sequence_length(1) == 4
    again = backend.decode([TokenSlice(1, prompt[4:], len(prompt) - 4)])
    assert close_to(again, rows[4:])
    assert backend.copy_sequence(0, 1)
    assert backend.sequence_length(1) == len(prompt)
    assert backend.copy_sequence(0, 1, 0)
    assert backend.sequence_length(1) == 0


def test_a_truncated_sequence_continues_from_there(backend: LlamaBackend, prompt: list[int]) -> None:
    rows = backend.decode([TokenSlice(0, prompt, len(prompt))]).copy()
    assert backend.truncate_sequence(0, 3)
    assert close_to(backend.decode([TokenSlice(0, prompt[3:], 1)])[0], rows[-1])


def test_a_numpy_slice_does_as_well_as_a_list(backend: LlamaBackend, prompt: list[int]) -> None:
    rows = backend.decode([TokenSlice(0, np.array(prompt, np.int32))]).copy()
    assert close_to(rows, backend.decode([TokenSlice(1, prompt)]))


@pytest.mark.parametrize(
    "slices",
    [
        [],
        [TokenSlice(0, [])],
        [TokenSlice(3, [1])],
        [TokenSlice(-1, [1])],
        [TokenSlice(0, [1]), TokenSlice(0, [1])],
        [TokenSlice(0, [1] * 65)],
        [TokenSlice(0, [1], 2)],
        [TokenSlice(0, [1], -1)],
        [TokenSlice(0, [1] * 41, 41)],
        [TokenSlice(0, [8192])],
        [TokenSlice(0, [-1])],
    ],
)
def test_a_batch_that_would_abort_is_an_error(backend: LlamaBackend, slices: list[TokenSlice]) -> None:
    with pytest.raises(BackendError):
        backend.decode(slices)
    assert backend.decode([TokenSlice(0, [1])]).shape == (1, backend.limits.n_vocab)


def test_a_sequence_cannot_outgrow_its_context(backend: LlamaBackend) -> None:
    for _ in range(4):
        backend.decode([TokenSlice(0, [7] * 64, 0)])
    with pytest.raises(BackendError, match="257 tokens"):
        backend.decode([TokenSlice(0, [7])])


@pytest.mark.parametrize("sequence", [-1, 3, 1000])
def test_a_wrong_sequence_is_an_error_everywhere(backend: LlamaBackend, sequence: int) -> None:
    with pytest.raises(BackendError):
        backend.sequence_length(sequence)
    with pytest.raises(BackendError):
        backend.drop_sequence(sequence)
    with pytest.raises(BackendError):
        backend.truncate_sequence(sequence, 0)
    with pytest.raises(BackendError):
        backend.copy_sequence(0, sequence)


def test_cutting_beyond_the_end_is_an_error(backend: LlamaBackend) -> None:
    with pytest.raises(BackendError):
        backend.truncate_sequence(0, 1)
    with pytest.raises(BackendError):
        backend.copy_sequence(0, 1, 1)
    with pytest.raises(BackendError):
        backend.copy_sequence(0, 0)


def test_an_abort_stops_decode_and_keeps_the_past(backend: LlamaBackend, prompt: list[int]) -> None:
    backend.decode([TokenSlice(0, prompt)])
    backend.abort_flag.set()
    with pytest.raises(DecodeAbortedError):
        backend.decode([TokenSlice(0, [5] * 40)])
    backend.abort_flag.clear()
    assert backend.sequence_length(0) == len(prompt)
    backend.decode([TokenSlice(0, [5])])
    assert backend.sequence_length(0) == len(prompt) + 1


def test_threads_can_change(backend: LlamaBackend) -> None:
    backend.set_threads(2, 2)
    backend.decode([TokenSlice(0, [1, 2, 3])])
    backend.set_threads(1, 1)
    with pytest.raises(BackendError):
        backend.set_threads(0, 1)


def test_text_becomes_tokens_and_text_again(backend: LlamaBackend) -> None:
    vocabulary = backend.vocabulary
    text = "Grüße, 世界 🎉\n\tdef f(x):  return x"
    tokens = vocabulary.tokenize(text, add_special=False, parse_special=False)
    assert b"".join(vocabulary.piece(token) for token in tokens).decode() == text
    assert vocabulary.tokenize("", add_special=False, parse_special=False) == []


def test_special_tokens_are_read_only_when_asked(backend: LlamaBackend) -> None:
    vocabulary = backend.vocabulary
    assert vocabulary.eos is not None
    marker = vocabulary.piece(vocabulary.eos, special=True).decode()
    assert vocabulary.tokenize(marker, add_special=False, parse_special=True) == [vocabulary.eos]
    assert len(vocabulary.tokenize(marker, add_special=False, parse_special=False)) > 1
    assert vocabulary.piece(vocabulary.eos) == b""
    assert vocabulary.is_end(vocabulary.eos)


def test_what_is_no_text_or_no_token_is_refused(backend: LlamaBackend) -> None:
    with pytest.raises(UsageError, match="Unicode"):
        backend.vocabulary.tokenize("\ud800", add_special=False, parse_special=False)
    with pytest.raises(UsageError, match="MiB"):
        backend.vocabulary.tokenize("x" * (16 * 2**20 + 1), add_special=False, parse_special=False)
    for token in (-1, backend.limits.n_vocab):
        with pytest.raises(BackendError):
            backend.vocabulary.piece(token)


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


def test_a_closed_backend_says_so(tiny_gguf: Path) -> None:
    backend = LlamaBackend(tiny_gguf, BackendSettings(context=64))
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.decode([TokenSlice(0, [1])])
    with pytest.raises(BackendError, match="closed"):
        backend.drop_sequence(0)


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
    expected = backend.decode([TokenSlice(0, prompt)]).copy()
    settings = BackendSettings(context=64, mmap=False, repack=False, kv_type_k="f32", kv_type_v="f32")
    other = LlamaBackend(tiny_gguf, settings)
    try:
        assert close_to(other.decode([TokenSlice(0, prompt)]), expected)
    finally:
        other.close()


def test_a_file_that_is_not_there_or_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        LlamaBackend(tmp_path / "none.gguf", BackendSettings(context=64))
    path = tmp_path / "text.gguf"
    path.write_text("not a model")
    with pytest.raises(ModelFileError, match="GGUF"):
        LlamaBackend(path, BackendSettings(context=64))


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


def test_nothing_is_written_to_the_terminal(tiny_gguf: Path, capfd: pytest.CaptureFixture[str]) -> None:
    LlamaBackend(tiny_gguf, BackendSettings(context=64)).close()
    assert capfd.readouterr() == ("", "")
