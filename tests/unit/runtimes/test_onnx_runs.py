"""Which sequences share a call of the graph."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgellm.devices.settings import ONNX_RUN_TOKENS
from edgellm_runtimes.backend import TokenSlice
from edgellm_runtimes.onnx.runs import Run, cut_slices, plan_runs

CAPACITY = 64


def slices_of(widths: dict[int, int]) -> list[TokenSlice]:
    return [TokenSlice(sequence, [1] * width) for sequence, width in widths.items()]


def shape(runs: list[Run]) -> list[tuple[int, int, int]]:
    return [(run.first, run.end, run.width) for run in runs]


def test_neighbours_that_decode_share_a_run() -> None:
    assert shape(plan_runs(slices_of({0: 1, 1: 1, 2: 1}), [5, 6, 7], CAPACITY)) == [(0, 3, 1)]


def test_a_prompt_runs_beside_no_answers() -> None:
    assert sorted(shape(plan_runs(slices_of({0: 1, 1: 40, 2: 1}), [5, 0, 7], CAPACITY))) == [(0, 3, 1), (1, 2, 40)]


def test_a_wide_gap_is_not_computed() -> None:
    assert shape(plan_runs(slices_of({0: 1, 20: 1}), [5] * 21, CAPACITY)) == [(0, 1, 1), (20, 21, 1)]


def test_what_would_not_fit_behind_a_long_sequence_runs_apart() -> None:
    """The kernel wants room for the widest slice behind what each sequence of the run has."""
    assert shape(plan_runs(slices_of({0: 2, 1: 1}), [0, CAPACITY - 1], CAPACITY)) == [(1, 2, 1), (0, 1, 2)]


@given(
    st.dictionaries(st.integers(0, 9), st.tuples(st.integers(1, CAPACITY), st.integers(0, CAPACITY)), min_size=1),
    st.randoms(use_true_random=False),
)
def test_every_slice_runs_once_and_the_rules_of_the_kernel_hold(
    drawn: dict[int, tuple[int, int]], order: st.DataObject
) -> None:
    lengths = [0] * 10
    widths = {}
    for sequence, (width, length) in drawn.items():
        lengths[sequence] = min(length, CAPACITY - width)
        widths[sequence] = width
    slices = slices_of(widths)
    order.shuffle(slices)  # type: ignore[attr-defined]
    runs = plan_runs(slices, lengths, CAPACITY)
    assert sorted(place for run in runs for place in run.members) == list(range(len(slices)))
    for run in runs:
        assert list(run.members) == sorted(run.members)
        for place in run.members:
            assert run.first <= slices[place].sequence < run.end
            assert lengths[slices[place].sequence] + run.width <= CAPACITY
        if len(run.members) < run.end - run.first:
            assert run.width < CAPACITY
    assert sum(run.cost for run in runs) <= sum(3 + len(slice_.tokens) for slice_ in slices)


def test_prompts_share_a_run_only_up_to_what_memory_is_planned_for() -> None:
    runs = plan_runs(slices_of(dict.fromkeys(range(4), 60)), [0] * 4, 256)
    assert shape(runs) == [(0, 3, 60), (3, 4, 60)]


@given(
    st.dictionaries(
        st.integers(0, 9), st.integers(1, 700).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), min_size=1
    )
)
def test_pieces_are_the_slices_in_their_order(drawn: dict[int, tuple[int, int]]) -> None:
    slices = [TokenSlice(sequence, range(width), n_rows) for sequence, (width, n_rows) in drawn.items()]
    tokens: dict[int, list[int]] = {sequence: [] for sequence in drawn}
    rows: dict[int, tuple[int, int]] = {}  # sequence and token that gives it
    for pieces in cut_slices(slices):
        assert len({piece.slice_.sequence for piece in pieces}) == len(pieces)
        for slice_, first_row in pieces:
            assert 0 < len(slice_.tokens) <= ONNX_RUN_TOKENS
            tokens[slice_.sequence] += slice_.tokens
            for number in range(slice_.n_outputs):
                rows[first_row + number] = (
                    slice_.sequence,
                    slice_.tokens[len(slice_.tokens) - slice_.n_outputs + number],
                )
    assert tokens == {sequence: list(range(width)) for sequence, (width, _rows) in drawn.items()}
    expected = [
        (sequence, token) for sequence, (width, n_rows) in drawn.items() for token in range(width - n_rows, width)
    ]
    assert [rows[number] for number in range(len(rows))] == expected
