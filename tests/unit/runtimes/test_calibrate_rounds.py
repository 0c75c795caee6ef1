"""The median of rounds that lie apart is what is usual."""

from __future__ import annotations

import pytest

from edgellm_runtimes.calibrate.rounds import ROUNDS, Model, usual_timings
from edgellm_runtimes.calibrate.synthetic import Shape
from edgellm_runtimes.calibrate.timing import Timing

SHAPE = Shape(n_embd=256, n_ff=768, n_layers=1)
FIRST, SECOND = Model(SHAPE, "Q8_0", False, deep=True), Model(SHAPE, "Q4_0", True)


def test_every_model_is_timed_once_in_each_round() -> None:
    calls: list[tuple[Model, int]] = []

    def time_one(model: Model, number: int) -> Timing:
        calls.append((model, number))
        return Timing(decode_s=1.0, prefill_s=1.0)

    usual_timings([FIRST, SECOND], time_one, ROUNDS)
    assert calls == [(model, number) for number in range(ROUNDS) for model in (FIRST, SECOND)]
    assert ROUNDS % 2 == 1, "the median of an even number is the mean of two, one of which may be disturbed"


def test_a_disturbed_round_changes_no_time() -> None:
    steps = {
        0: Timing(decode_s=1.00, prefill_s=10.0, deep_decode_s=2.0, deep_prefill_s=20.0),
        1: Timing(decode_s=9.00, prefill_s=99.0, deep_decode_s=9.0, deep_prefill_s=99.0),
        2: Timing(decode_s=1.02, prefill_s=10.2, deep_decode_s=1.9, deep_prefill_s=19.0),
    }
    found = usual_timings([FIRST], lambda _, number: steps[number], ROUNDS)
    assert found[FIRST].timing == Timing(decode_s=1.02, prefill_s=10.2, deep_decode_s=2.0, deep_prefill_s=20.0)


def test_the_spread_is_that_of_the_step_that_varies_most() -> None:
    steps = [Timing(decode_s=0.9, prefill_s=10.0), Timing(decode_s=1.0, prefill_s=10.1), Timing(1.1, 10.2)]
    found = usual_timings([SECOND], lambda _, number: steps[number], ROUNDS)
    assert found[SECOND].spread == pytest.approx(0.1)  # what was not timed (0 s) does not count
    one = usual_timings([SECOND], lambda _, number: steps[number], 1)
    assert one[SECOND] == (steps[0], 0.0)


@pytest.mark.parametrize("fails_in", range(ROUNDS))
def test_a_model_that_cannot_be_timed_is_left_out_and_not_tried_again(fails_in: int) -> None:
    calls: list[tuple[Model, int]] = []

    def time_one(model: Model, number: int) -> Timing | None:
        calls.append((model, number))
        return None if (model, number) == (FIRST, fails_in) else Timing(decode_s=1.0, prefill_s=1.0)

    assert list(usual_timings([FIRST, SECOND], time_one, ROUNDS)) == [SECOND]
    assert [number for model, number in calls if model == FIRST] == list(range(fails_in + 1))
