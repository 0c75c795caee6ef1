"""The state of a sequence on disk: a restored prefix continues as if it had just been computed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from backends import open_backend
from edgellm.errors import BackendError, NoSpaceError
from edgellm_runtimes.backend import Backend, BackendSettings, CacheFullError, TokenSlice
from edgellm_runtimes.kv_store import AdapterKey, PrefixKey, PrefixStore
from prefix_child import MODEL
from tmpfs import tmpfs
from window_model import WINDOW, write_window_model

CHILD = Path(__file__).resolve().parents[1] / "prefix_child.py"
SETTINGS = BackendSettings(context=256, sequences=3, batch=256, ubatch=256)
TEXT = "Once upon a time there was a small board that had to answer the same question every day."
VARIANTS = [
    SETTINGS,
    msgspec.structs.replace(SETTINGS, kv_type_k="q8_0", kv_type_v="q8_0"),
    msgspec.structs.replace(SETTINGS, flash_attention=False),
    msgspec.structs.replace(SETTINGS, kv_type_k="f32", kv_type_v="bf16"),
]


@pytest.fixture(scope="module")
def loaded(tiny_model: Path) -> Iterator[Backend]:
    backend = open_backend(tiny_model, SETTINGS)
    yield backend
    backend.close()


@pytest.fixture
def backend(loaded: Backend) -> Backend:
    for sequence in range(SETTINGS.sequences):
        loaded.drop_sequence(sequence)
    return loaded


@pytest.fixture
def tokens(loaded: Backend) -> list[int]:
    return loaded.vocabulary.tokenize(TEXT, add_special=True, parse_special=False)


def save_in_another_process(gguf: Path, folder: Path, settings: BackendSettings) -> list[int]:
    command = [
        sys.executable,
        str(CHILD),
        "model",
        str(gguf),
        str(folder),
        TEXT,
        msgspec.json.encode(settings).decode(),
    ]
    done = subprocess.run(command, capture_output=True, check=True)
    return msgspec.json.decode(done.stdout, type=list[int])


@pytest.mark.parametrize("settings", VARIANTS, ids=["f16", "q8_0", "no-flash", "f32-bf16"])
def test_a_restart_goes_on_where_the_last_process_was(
    tiny_model: Path, tmp_path: Path, settings: BackendSettings
) -> None:
    tokens = save_in_another_process(tiny_model, tmp_path, settings)
    backend = open_backend(tiny_model, settings)
    try:
        backend.decode([TokenSlice(0, tokens, 0)])
        cold = backend.decode([TokenSlice(0, [9])]).copy()
        store = PrefixStore(tmp_path, PrefixKey(MODEL, backend.state_traits))
        match = store.find([*tokens, 9, 10])
        assert match is not None
        assert match.length == len(tokens)
        prefix = store.open(match.prefix)
        assert prefix is not None
        with prefix:
            backend.restore_sequence(1, prefix.path, match.prefix.n_tokens)
        assert backend.sequence_length(1) == len(tokens)
        assert np.array_equal(backend.decode([TokenSlice(1, [9])]), cold)
    finally:
        backend.close()


def test_what_does_not_fit_is_not_found(tiny_model: Path, tmp_path: Path) -> None:
    tokens = save_in_another_process(tiny_model, tmp_path, SETTINGS)
    for settings in VARIANTS[1:]:
        backend = open_backend(tiny_model, settings)
        key = PrefixKey(MODEL, backend.state_traits)
        backend.close()
        assert PrefixStore(tmp_path, key).find(tokens) is None
    backend = open_backend(tiny_model, SETTINGS)
    traits = backend.state_traits
    backend.close()
    assert PrefixStore(tmp_path, PrefixKey("sha256:" + "b" * 64, traits)).find(tokens) is None
    store = PrefixStore(tmp_path, PrefixKey(MODEL, traits))
    assert store.find(tokens, adapters=[AdapterKey("sha256:" + "c" * 64)]) is None
    assert store.find(tokens) is not None


def test_a_part_that_matches_is_cut_out(backend: Backend, tokens: list[int], tmp_path: Path) -> None:
    state = tmp_path / "state"
    backend.decode([TokenSlice(0, tokens)])
    assert backend.save_sequence(0, state)
    backend.restore_sequence(1, state, len(tokens))
    assert backend.truncate_sequence(1, 7)
    cold = backend.decode([TokenSlice(2, [*tokens[:7], 9])]).copy()
    assert np.allclose(backend.decode([TokenSlice(1, [9])]), cold, atol=2e-3)  # other shapes add up in another order


def test_a_saved_prefix_holds_nothing_of_what_followed(backend: Backend, tokens: list[int], tmp_path: Path) -> None:
    both = []
    for after in ([100, 200, 300], [7, 8, 9]):
        backend.decode([TokenSlice(0, tokens, 0)])  # a batch of its own: equal states to the last bit
        backend.decode([TokenSlice(0, after)])
        state = tmp_path / "state"
        assert backend.save_sequence(0, state, len(tokens))
        assert abs(state.stat().st_size - backend.saved_bytes(0, len(tokens))) < 1000
        assert [backend.sequence_length(sequence) for sequence in range(3)] == [len(tokens) + 3, 0, 0]
        both.append(state.read_bytes())
        backend.drop_sequence(0)
    assert both[0] == both[1]


def test_restoring_replaces_what_the_sequence_held(backend: Backend, tokens: list[int], tmp_path: Path) -> None:
    state = tmp_path / "state"
    backend.decode([TokenSlice(0, tokens, 0)])
    expected = backend.decode([TokenSlice(0, [9])]).copy()
    assert backend.truncate_sequence(0, len(tokens))
    assert backend.save_sequence(0, state)
    backend.decode([TokenSlice(1, [50] * 100)])
    backend.restore_sequence(1, state, len(tokens))
    assert np.array_equal(backend.decode([TokenSlice(1, [9])]), expected)


def test_a_part_cannot_be_saved_while_every_sequence_is_in_use(
    backend: Backend, tokens: list[int], tmp_path: Path
) -> None:
    for sequence in range(3):
        backend.decode([TokenSlice(sequence, tokens)])
    with pytest.raises(CacheFullError, match="free"):
        backend.save_sequence(0, tmp_path / "state", 5)
    assert not (tmp_path / "state").exists()
    assert backend.save_sequence(0, tmp_path / "state")
    assert [backend.sequence_length(sequence) for sequence in range(3)] == [len(tokens)] * 3


def test_a_pool_without_room_is_told_apart(tiny_model: Path, tmp_path: Path) -> None:
    backend = open_backend(tiny_model, BackendSettings(context=200, sequences=2, batch=200, ubatch=200))
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


def test_what_is_no_state_is_an_error_and_leaves_the_sequence_empty(
    backend: Backend, tokens: list[int], tmp_path: Path
) -> None:
    state = tmp_path / "state"
    backend.decode([TokenSlice(0, tokens)])
    assert backend.save_sequence(0, state)
    good = state.read_bytes()
    for path, data, length in (
        (state, good, len(tokens) - 1),
        (state, good, 0),
        (state, good, 257),
        (state, bytes(len(good)), len(tokens)),
        (state, b"", len(tokens)),
        (tmp_path / "missing", None, len(tokens)),
        (tmp_path, None, len(tokens)),
    ):
        if data is not None:
            path.write_bytes(data)
        backend.decode([TokenSlice(1, [5])])
        with pytest.raises(BackendError):
            backend.restore_sequence(1, path, length)
        assert backend.sequence_length(1) == 0
    state.write_bytes(good)
    backend.restore_sequence(1, state, len(tokens))


def test_what_cannot_be_saved_is_an_error(backend: Backend, tokens: list[int], tmp_path: Path) -> None:
    backend.decode([TokenSlice(0, tokens)])
    for sequence, length in ((0, 0), (0, len(tokens) + 1), (0, -1), (1, None), (3, None), (-1, None)):
        with pytest.raises(BackendError):
            backend.save_sequence(sequence, tmp_path / "state", length)
        with pytest.raises(BackendError):
            backend.saved_bytes(sequence, length)
    with pytest.raises(BackendError, match="could not save"):
        backend.save_sequence(0, tmp_path / "no" / "folder")


@pytest.mark.parametrize("size", ["4k", "12k", "72k"])
def test_a_full_disk_is_told_apart(backend: Backend, tokens: list[int], tmp_path: Path, size: str) -> None:
    backend.decode([TokenSlice(0, tokens)])
    assert backend.saved_bytes(0) > 76 * 1024
    with tmpfs(tmp_path / "disk", f"size={size}") as disk, pytest.raises(NoSpaceError):
        backend.save_sequence(0, disk / "state")
    assert backend.save_sequence(0, tmp_path / "state")


def test_a_sliding_window_comes_back_whole_and_is_not_cut(tiny_model: Path, tmp_path: Path) -> None:
    write_window_model(tmp_path / "model.gguf", tiny_model)
    backend = open_backend(tmp_path / "model.gguf", BackendSettings(context=512, sequences=3, batch=64, ubatch=64))
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


def test_only_the_same_library_types_and_attention_share_states(tiny_model: Path) -> None:
    seen = []
    for settings in VARIANTS:
        backend = open_backend(tiny_model, settings)
        assert "save" in backend.capabilities
        seen.append(backend.state_traits)
        backend.close()
    assert len({msgspec.json.encode(traits) for traits in seen}) == len(VARIANTS)
    assert all("llama-cpp-python 0." in traits["library"] for traits in seen)
