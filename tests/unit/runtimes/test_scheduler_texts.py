"""Which texts a step embeds, and that a text's vector does not depend on the parts that it is computed in."""

from __future__ import annotations

import numpy as np
import pytest

from edgellm.errors import BackendError, UsageError
from edgellm_runtimes.embedding import EmbedOptions, EmbedRequest, Pooling
from edgellm_runtimes.generation import AdapterUse
from edgellm_runtimes.scheduler.texts import LiveText, LiveTexts, TextShare, plan_texts


def request(*lengths: int, pooling: Pooling = "mean", normalise: bool = True) -> EmbedRequest:
    texts = [list(range(length)) for length in lengths]
    return EmbedRequest(1, texts, EmbedOptions(pooling=pooling, normalise=normalise))


def begin_all(text: LiveText) -> bool:
    text.sequence = 0
    return True


def sizes(shares: list[TextShare]) -> list[tuple[int, int]]:
    return [(len(share.text.tokens), share.n_tokens) for share in shares]


def test_short_texts_share_a_step() -> None:
    live = LiveTexts(request(3, 4, 5, 6))
    assert sizes(plan_texts([live], 16, begin_all)) == [(3, 3), (4, 4), (5, 5), (6, 4)]


def test_requests_give_their_texts_in_turn() -> None:
    first, second = LiveTexts(request(5, 5, 5, 5)), LiveTexts(request(4))
    assert sizes(plan_texts([first, second], 14, begin_all)) == [(5, 5), (4, 4), (5, 5)]


def test_what_is_begun_goes_on_before_others_begin() -> None:
    live = LiveTexts(request(30, 5))
    assert sizes(plan_texts([live], 20, begin_all)) == [(30, 20)]
    live.begun[0].add(np.zeros((20, 2), np.float32))
    assert sizes(plan_texts([live], 20, begin_all)) == [(30, 10), (5, 5)]


def test_texts_wait_where_no_sequence_is() -> None:
    live = LiveTexts(request(3, 4, 5))
    left = [True, True]
    shares = plan_texts([live], 99, lambda text: bool(left) and left.pop())
    assert sizes(shares) == [(3, 3), (4, 4)]
    assert [len(text.tokens) for text in live.waiting] == [5]
    assert not live.is_over


@pytest.mark.parametrize("pooling", ["mean", "last"])
@pytest.mark.parametrize("normalise", [True, False])
def test_a_vector_does_not_depend_on_its_parts(pooling: Pooling, normalise: bool) -> None:
    rows = np.random.default_rng(1).normal(size=(11, 8)).astype(np.float32)
    expected = rows.astype(np.float64).mean(axis=0) if pooling == "mean" else rows[-1].astype(np.float64)
    if normalise:
        expected /= np.linalg.norm(expected)
    for parts in ([11], [1, 10], [4, 4, 3]):
        text = LiveText(request(11, pooling=pooling, normalise=normalise), 0)
        for rows_of_part in np.split(rows, np.cumsum(parts)[:-1]):
            text.add(rows_of_part)
        done = text.finish()
        assert (done.index, done.n_tokens) == (0, 11)
        assert np.frombuffer(done.values, np.float32) == pytest.approx(expected, rel=1e-6)


def test_a_text_that_starts_again_forgets_what_was_computed() -> None:
    text = LiveText(request(2, normalise=False), 0)
    text.add(np.full((1, 2), 9, np.float32))
    text.restart()
    text.add(np.ones((2, 2), np.float32))
    assert np.frombuffer(text.finish().values, np.float32).tolist() == [1, 1]


def test_zeros_stay_zeros_and_what_is_not_finite_is_an_error() -> None:
    text = LiveText(request(1), 0)
    text.add(np.zeros((1, 2), np.float32))
    assert np.frombuffer(text.finish().values, np.float32).tolist() == [0, 0]
    text = LiveText(request(1), 0)
    text.add(np.array([[1, np.inf]], np.float32))
    with pytest.raises(BackendError, match="not finite"):
        text.finish()


def test_options_are_checked() -> None:
    with pytest.raises(UsageError, match="mean, cls or last"):
        EmbedOptions(pooling="max")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="scale"):
        EmbedOptions(pooling="mean", adapters=(AdapterUse("a", 1e9),))
