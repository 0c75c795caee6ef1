"""The state of a sequence on disk: a restored prefix continues as if it had just been computed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from backends import open_backend
from edgellm.errors import BackendError, NoSpaceError
from edgellm_runtimes.backend import Backend, BackendSettings, TokenSlice
from edgellm_runtimes.kv_store import PrefixKey, PrefixStore
from prefix_child import MODEL
from prefix_rig import SETTINGS, TEXT, VARIANTS, save_in_another_process
from tmpfs import tmpfs


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
