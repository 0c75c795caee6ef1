"""Which whole texts share a call."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgellm_runtimes.onnx.text_runs import text_runs


def test_equal_ones_go_together_and_a_long_one_alone() -> None:
    assert text_runs([5, 200, 5, 6], 512) == [[0, 2, 3], [1]]


def test_a_call_has_its_limit() -> None:
    assert text_runs([10] * 7, 30) == [[0, 1, 2], [3, 4, 5], [6]]
    assert text_runs([100], 30) == [[0]]
    assert text_runs([], 30) == []


@given(st.lists(st.integers(1, 64), max_size=60), st.integers(1, 512))
def test_each_text_comes_once_and_padding_stays_small(lengths: list[int], most: int) -> None:
    runs = text_runs(lengths, most)
    assert sorted(place for run in runs for place in run) == list(range(len(lengths)))
    for run in runs:
        widest = max(lengths[place] for place in run)
        assert len(run) == 1 or len(run) * widest <= most
        assert len(run) * widest <= sum(lengths[place] for place in run) + 4 * len(run)
