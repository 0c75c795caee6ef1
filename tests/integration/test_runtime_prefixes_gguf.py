"""States of llama.cpp's sequences on disk, where its cache has rules of its own: a pool, windows, types, attention."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgellm_runtimes.backend import BackendSettings, CacheFullError, TokenSlice
from edgellm_runtimes.kv_store import AdapterKey, PrefixKey, PrefixStore
from edgellm_runtimes.llama_cpp.model import LlamaBackend
from prefix_child import MODEL
from prefix_rig import SETTINGS, TEXT, VARIANTS, save_in_another_process
from window_model import WINDOW, write_window_model


@pytest.fixture
def backend(tiny_gguf: Path) -> Iterator[LlamaBackend]:
    loaded = LlamaBackend(tiny_gguf, SETTINGS)
    yield loaded
    loaded.close()


@pytest.fixture
def tokens(backend: LlamaBackend) -> list[int]:
    return backend.vocabulary.tokenize(TEXT, add_special=True, parse_special=False)


def test_what_does_not_fit_is_not_found(tiny_gguf: Path, tmp_path: Path) -> None:
    tokens = save_in_another_process(tiny_gguf, tmp_path, SETTINGS)
    for settings in VARIANTS[1:]:
        backend = LlamaBackend(tiny_gguf, settings)
        key = PrefixKey(MODEL, backend.state_traits)
        backend.close()
        assert PrefixStore(tmp_path, key).find(tokens) is None
    backend = LlamaBackend(tiny_gguf, SETTINGS)
    traits = backend.state_traits
    backend.close()
    assert PrefixStore(tmp_path, PrefixKey("sha256:" + "b" * 64, traits)).find(tokens) is None
    store = PrefixStore(tmp_path, PrefixKey(MODEL, traits))
    assert store.find(tokens, adapters=[AdapterKey("sha256:" + "c" * 64)]) is None
    assert store.find(tokens) is not None


def test_a_part_cannot_be_saved_while_every_sequence_is_in_use(
    backend: LlamaBackend, tokens: list[int], tmp_path: Path
) -> None:
    for sequence in range(3):
        backend.decode([TokenSlice(sequence, tokens)])
    with pytest.raises(CacheFullError, match="free"):
        backend.save_sequence(0, tmp_path / "state", 5)
    assert not (tmp_path / "state").exists()
    assert backend.save_sequence(0, tmp_path / "state")
    assert [backend.sequence_length(sequence) for sequence in range(3)] == [len(tokens)] * 3


def test_a_pool_without_room_is_told_apart(tiny_gguf: Path, tmp_path: Path) -> None:
    backend = LlamaBackend(tiny_gguf, BackendSettings(context=200, sequences=2, batch=200, ubatch=200))
    try:
        backend.limits = msgspec.structs.replace(backend.limits, n_context=1000)  # let the pool be what is too small
        backend.decode([TokenSlice(0, [3] * 200, 0)])
        assert backend.save_sequence(0, tmp_path / "state")
        backend.decode([TokenSlice(0, [3] * 200, 0)])
        with pytest.raises(CacheFullError):
            backend.restore_sequence(1, tmp_path / "state", 200)
        assert [backend.sequence_length(sequence) for sequence in (0, 1)] == [400, 0]
        backend.drop_sequence(0)
        backend.restore_sequence(1, tmp_path / "state", 200)
    finally:
        backend.close()


def test_a_sliding_window_comes_back_whole_and_is_not_cut(tiny_gguf: Path, tmp_path: Path) -> None:
    write_window_model(tmp_path / "model.gguf", tiny_gguf)
    backend = LlamaBackend(tmp_path / "model.gguf", BackendSettings(context=512, sequences=3, batch=64, ubatch=64))
    try:
        state = tmp_path / "state"
        tokens = [(number * 37) % 8000 + 1 for number in range(192)]
        for start in range(0, len(tokens), 64):
            backend.decode([TokenSlice(0, tokens[start : start + 64], 0)])
        assert backend.save_sequence(0, state)
        expected = backend.decode([TokenSlice(0, [9])]).copy()
        backend.restore_sequence(1, state, len(tokens))
        assert not backend.truncate_sequence(1, len(tokens) - 1)
        assert not backend.save_sequence(1, tmp_path / "part", len(tokens) - 1)
        assert not (tmp_path / "part").exists()
        assert [backend.sequence_length(sequence) for sequence in range(3)] == [193, 192, 0]
        assert np.array_equal(backend.decode([TokenSlice(1, [9])]), expected)
        # the first sequence still has cells before its window: the state of a part of it can be had
        backend.drop_sequence(1)
        assert backend.save_sequence(0, state, 64 + WINDOW)
        backend.restore_sequence(1, state, 64 + WINDOW)
        again = backend.decode([TokenSlice(1, [9])]).copy()
        backend.drop_sequence(0)
        backend.decode([TokenSlice(0, tokens[:64], 0)])
        backend.decode([TokenSlice(0, tokens[64 : 64 + WINDOW], 0)])
        assert np.allclose(again, backend.decode([TokenSlice(0, [9])]), atol=1e-2)
    finally:
        backend.close()


def test_only_the_same_library_types_and_attention_share_states(tiny_gguf: Path) -> None:
    seen = []
    for settings in VARIANTS:
        backend = LlamaBackend(tiny_gguf, settings)
        assert "save" in backend.capabilities
        seen.append(backend.state_traits)
        backend.close()
    assert len({msgspec.json.encode(traits) for traits in seen}) == len(VARIANTS)
    assert all("llama-cpp-python 0." in traits["library"] for traits in seen)
