"""What every backend does alike: sequences, logits rows, and errors where its library would end the process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from backends import is_onnx_model, open_backend
from edgellm.errors import BackendError, NotFoundError, UnsupportedError, UsageError
from edgellm_runtimes.backend import Backend, BackendSettings, DecodeAbortedError, TokenSlice
from edgellm_runtimes.generation import AdapterUse

SETTINGS = BackendSettings(context=256, sequences=3, batch=64, ubatch=32, outputs=40, kv_type_k="f32", kv_type_v="f32")


@pytest.fixture(scope="module")
def loaded(tiny_model: Path) -> Iterator[Backend]:
    backend = open_backend(tiny_model, SETTINGS)
    yield backend
    backend.close()


@pytest.fixture
def backend(loaded: Backend) -> Backend:
    for sequence in range(SETTINGS.sequences):
        loaded.drop_sequence(sequence)
    loaded.abort_flag.clear()
    return loaded


@pytest.fixture(scope="module")
def prompt(loaded: Backend) -> list[int]:
    text = "Friends, Romans, countrymen, lend me your"
    return loaded.vocabulary.tokenize(text, add_special=True, parse_special=False)


def tolerance(model: Path) -> float:
    """Both compute in float32; llama.cpp rounds its F16 weights' partners to 16 bits."""
    return 1e-4 if is_onnx_model(model) else 3e-2


def close_to(left: np.ndarray, right: np.ndarray) -> bool:
    return bool(np.allclose(left, right, atol=2e-3))


def test_rows_come_in_the_order_of_the_slices(backend: Backend, prompt: list[int]) -> None:
    alone = backend.decode([TokenSlice(0, prompt, len(prompt))]).copy()
    assert alone.shape == (len(prompt), backend.limits.n_vocab)
    both = backend.decode([TokenSlice(2, prompt, 2), TokenSlice(1, prompt[:4], 0), TokenSlice(0, [5], 1)])
    assert len(both) == 3
    assert close_to(both[:2], alone[-2:])
    assert [backend.sequence_length(sequence) for sequence in range(3)] == [len(prompt) + 1, 4, len(prompt)]


def test_a_copied_prefix_continues_as_the_original_does(backend: Backend, prompt: list[int]) -> None:
    rows = backend.decode([TokenSlice(0, prompt, len(prompt))]).copy()
    assert backend.copy_sequence(0, 1, 4)
    assert backend.sequence_length(1) == 4
    again = backend.decode([TokenSlice(1, prompt[4:], len(prompt) - 4)])
    assert close_to(again, rows[4:])
    assert backend.copy_sequence(0, 1)
    assert backend.sequence_length(1) == len(prompt)
    assert backend.copy_sequence(0, 1, 0)
    assert backend.sequence_length(1) == 0


def test_a_truncated_sequence_continues_from_there(backend: Backend, prompt: list[int]) -> None:
    rows = backend.decode([TokenSlice(0, prompt, len(prompt))]).copy()
    assert backend.truncate_sequence(0, 3)
    assert close_to(backend.decode([TokenSlice(0, prompt[3:], 1)])[0], rows[-1])


def test_a_numpy_slice_does_as_well_as_a_list(backend: Backend, prompt: list[int]) -> None:
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
def test_a_batch_that_would_abort_is_an_error(backend: Backend, slices: list[TokenSlice]) -> None:
    with pytest.raises(BackendError):
        backend.decode(slices)
    assert backend.decode([TokenSlice(0, [1])]).shape == (1, backend.limits.n_vocab)


def test_a_sequence_cannot_outgrow_its_context(backend: Backend) -> None:
    for _ in range(4):
        backend.decode([TokenSlice(0, [7] * 64, 0)])
    with pytest.raises(BackendError, match="257 tokens"):
        backend.decode([TokenSlice(0, [7])])


@pytest.mark.parametrize("sequence", [-1, 3, 1000])
def test_a_wrong_sequence_is_an_error_everywhere(backend: Backend, sequence: int) -> None:
    with pytest.raises(BackendError):
        backend.sequence_length(sequence)
    with pytest.raises(BackendError):
        backend.drop_sequence(sequence)
    with pytest.raises(BackendError):
        backend.truncate_sequence(sequence, 0)
    with pytest.raises(BackendError):
        backend.copy_sequence(0, sequence)


def test_cutting_beyond_the_end_is_an_error(backend: Backend) -> None:
    with pytest.raises(BackendError):
        backend.truncate_sequence(0, 1)
    with pytest.raises(BackendError):
        backend.copy_sequence(0, 1, 1)
    with pytest.raises(BackendError):
        backend.copy_sequence(0, 0)


def test_an_abort_stops_decode_and_keeps_the_past(backend: Backend, prompt: list[int]) -> None:
    backend.decode([TokenSlice(0, prompt)])
    backend.abort_flag.set()
    with pytest.raises(DecodeAbortedError):
        backend.decode([TokenSlice(0, [5] * 40)])
    backend.abort_flag.clear()
    assert backend.sequence_length(0) == len(prompt)
    backend.decode([TokenSlice(0, [5])])
    assert backend.sequence_length(0) == len(prompt) + 1


def test_threads_can_change(backend: Backend) -> None:
    backend.set_threads(2, 2)
    backend.decode([TokenSlice(0, [1, 2, 3])])
    backend.set_threads(1, 1)
    with pytest.raises(BackendError):
        backend.set_threads(0, 1)


def test_text_becomes_tokens_and_text_again(backend: Backend) -> None:
    vocabulary = backend.vocabulary
    text = "Grüße, 世界 🎉\n\tdef f(x):  return x"
    tokens = vocabulary.tokenize(text, add_special=False, parse_special=False)
    assert b"".join(vocabulary.piece(token) for token in tokens).decode() == text
    assert vocabulary.tokenize("", add_special=False, parse_special=False) == []


def test_special_tokens_are_read_only_when_asked(backend: Backend) -> None:
    vocabulary = backend.vocabulary
    assert vocabulary.eos is not None
    marker = vocabulary.piece(vocabulary.eos, special=True).decode()
    assert vocabulary.tokenize(marker, add_special=False, parse_special=True) == [vocabulary.eos]
    assert len(vocabulary.tokenize(marker, add_special=False, parse_special=False)) > 1
    assert vocabulary.piece(vocabulary.eos) == b""
    assert vocabulary.is_end(vocabulary.eos)


def test_what_is_no_text_or_no_token_is_refused(backend: Backend) -> None:
    with pytest.raises(UsageError, match="Unicode"):
        backend.vocabulary.tokenize("\ud800", add_special=False, parse_special=False)
    with pytest.raises(UsageError, match="MiB"):
        backend.vocabulary.tokenize("x" * (16 * 2**20 + 1), add_special=False, parse_special=False)
    for token in (-1, backend.limits.n_vocab):
        with pytest.raises(BackendError):
            backend.vocabulary.piece(token)


def test_a_closed_backend_says_so(tiny_model: Path) -> None:
    backend = open_backend(tiny_model, BackendSettings(context=64))
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.decode([TokenSlice(0, [1])])
    with pytest.raises(BackendError, match="closed"):
        backend.drop_sequence(0)


def test_a_file_that_is_not_there_is_named(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="none"):
        open_backend(tmp_path / f"none{tiny_model.suffix}", BackendSettings(context=64))


def test_chunks_and_ragged_batches_give_what_one_sequence_alone_gives(tiny_model: Path) -> None:
    """Prompts in parts, one token of one sequence beside many of another, idle sequences between them."""
    source = np.random.default_rng(5)
    texts = [source.integers(3, 8000, length) for length in (37, 21, 50, 9)]
    backend = open_backend(tiny_model, msgspec.structs.replace(SETTINGS, sequences=4, outputs=64))
    try:
        alone = []
        for text in texts:
            alone.append(backend.decode([TokenSlice(0, text, len(text))]).copy())
            backend.drop_sequence(0)
        done = [0, 0, 0, 0]
        while any(done[number] < len(text) for number, text in enumerate(texts)):
            slices = []
            for number, text in enumerate(texts):
                count = min(len(text) - done[number], int(source.choice([0, 1, 1, 4, 17])))
                if count:
                    slices.append(TokenSlice(number, text[done[number] : done[number] + count], count))
            if not slices or sum(len(slice_.tokens) for slice_ in slices) > backend.limits.n_batch:
                continue
            source.shuffle(slices)
            rows = backend.decode([TokenSlice(int(s), t, int(n)) for s, t, n in slices])
            first = 0
            for sequence, tokens, _n in slices:
                begun = done[int(sequence)]
                expected = alone[int(sequence)][begun : begun + len(tokens)]
                assert np.abs(rows[first : first + len(tokens)] - expected).max() < tolerance(tiny_model)
                done[int(sequence)] += len(tokens)
                first += len(tokens)
    finally:
        backend.close()


def test_a_reused_prefix_gives_what_a_new_one_gives(tiny_model: Path, tmp_path: Path) -> None:
    backend = open_backend(tiny_model, SETTINGS)
    try:
        text = np.random.default_rng(6).integers(3, 8000, 60)
        expected = backend.decode([TokenSlice(0, text, 20)]).copy()
        assert backend.copy_sequence(0, 1, 40)
        copied = backend.decode([TokenSlice(1, text[40:], 20)]).copy()
        assert backend.truncate_sequence(0, 40)
        assert backend.save_sequence(0, tmp_path / "state")
        cut = backend.decode([TokenSlice(0, text[40:], 20)]).copy()
        backend.restore_sequence(2, tmp_path / "state", 40)
        restored = backend.decode([TokenSlice(2, text[40:], 20)]).copy()
        for rows in (copied, cut, restored):
            assert np.abs(rows - expected).max() < tolerance(tiny_model)
    finally:
        backend.close()


def test_what_a_backend_lacks_is_an_error_of_its_own(backend: Backend, prompt: list[int]) -> None:
    backend.decode([TokenSlice(0, prompt)])
    with pytest.raises(NotFoundError, match="no adapter 'pirate'") as caught:
        backend.set_adapters([AdapterUse("pirate")])
    assert ("--format gguf" in (caught.value.hint or "")) is ("adapters" not in backend.capabilities)
    backend.set_adapters([])
    if "embeddings" not in backend.capabilities:
        with pytest.raises(UnsupportedError):
            backend.hidden_states([TokenSlice(1, prompt)])
    else:
        assert backend.hidden_states([TokenSlice(1, prompt)]).shape == (len(prompt), backend.facts.n_embd)
    assert backend.shift_sequence(0, 2, 3) is ("shift" in backend.capabilities)
    assert backend.sequence_length(0) == len(prompt) - (3 if "shift" in backend.capabilities else 0)


@pytest.mark.parametrize("character", [" ", "a", "7", "!", "\n", "世", "é"])
def test_a_long_run_of_one_kind_comes_back_whole(backend: Backend, character: str) -> None:
    text = character * 100_000
    tokens = backend.vocabulary.tokenize(text, add_special=False, parse_special=False)
    assert b"".join(backend.vocabulary.piece(token) for token in tokens).decode() == text


def test_settings_that_no_model_has_are_refused(tiny_model: Path) -> None:
    for changes in ({"context": 0}, {"context": 2**40}, {"sequences": 257}, {"threads": 0}, {"batch": 0}):
        with pytest.raises(UsageError):
            open_backend(tiny_model, msgspec.structs.replace(SETTINGS, **changes))


def test_nothing_is_written_to_the_terminal(tiny_model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    open_backend(tiny_model, BackendSettings(context=64)).close()
    assert capfd.readouterr() == ("", "")
