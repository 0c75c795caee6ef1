"""What is proposed, and when proposing pays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgellm_runtimes.scheduler.drafting import Lookup
from edgellm_runtimes.scheduler.speculation import LENGTHS, Speculation
from edgellm_runtimes.scheduler.step_costs import PromptPace, StepCosts


def costs(**seconds: float) -> StepCosts:
    known = StepCosts()
    for width, time_s in seconds.items():
        known.learn(int(width[1:]), time_s)
    return known


def test_what_followed_the_same_tokens_is_proposed() -> None:
    assert Lookup().propose([1, 2, 3, 4, 5, 6, 1, 2, 3], 4) == [4, 5, 6, 1]


def test_the_latest_occurrence_counts_and_the_longest_run_of_equal_tokens_first() -> None:
    assert Lookup().propose([9, 2, 3, 7, 1, 2, 3, 8, 9, 2, 3], 1) == [7]
    assert Lookup().propose([5, 2, 3, 7, 6, 2, 3, 8, 1, 2, 3], 1) == [8]


def test_nothing_is_proposed_where_the_end_is_new() -> None:
    assert Lookup().propose([1, 2, 3, 4], 8) == []
    assert Lookup().propose([1], 8) == []
    assert Lookup().propose([], 8) == []


def test_a_text_that_repeats_itself_up_to_its_end_goes_on_so() -> None:
    assert Lookup().propose([1, 2, 1, 2, 1, 2], 5) == [1, 2, 1, 2, 1]
    assert Lookup().propose([7, 7, 7, 7], 3) == [7, 7, 7]


@given(st.lists(st.integers(0, 2), max_size=30), st.integers(1, 8))
def test_a_growing_text_gives_the_same_as_the_whole_one(tokens: list[int], most: int) -> None:
    growing = Lookup()
    for length in range(len(tokens) + 1):
        found = growing.propose(tokens[:length], most)
        assert found == Lookup().propose(tokens[:length], most)
        assert len(found) <= most


def test_costs_between_known_widths_are_interpolated_and_never_below_one() -> None:
    known = costs(w1=1.0, w9=3.0)
    assert known.ratio(5, 1) == pytest.approx(2.0)
    assert known.ratio(9, 1) == pytest.approx(3.0)
    assert costs(w1=2.0, w3=1.0).ratio(3, 1) == 1.0
    assert known.ratio(12, 1) is None
    assert StepCosts().ratio(2, 1) is None


def test_one_slow_step_is_no_cost() -> None:
    known = costs(w1=1.0)
    for _ in range(20):
        known.learn(1, 1.0)
    known.learn(1, 100.0)
    known.learn(2, 2.0)
    assert known.ratio(2, 1) == pytest.approx(2.0 / 1.3, rel=0.01)


REPEATING = [1, 2, 3, 4] * 10


def test_a_cheap_wider_step_brings_the_longest_proposal() -> None:
    speculation = Speculation()
    speculation.learn(8, 8)
    speculation.learn(8, 8)
    assert speculation.propose(REPEATING, 0, 8, costs(w1=1.0, w9=1.1)) == [1, 2, 3, 4, 1, 2, 3, 4]


def test_a_step_that_costs_as_much_as_its_tokens_is_not_worth_it_and_is_looked_at_now_and_then() -> None:
    speculation, dear = Speculation(), costs(w1=1.0, w3=3.0, w5=5.0, w9=9.0)
    proposals = [speculation.propose(REPEATING, 0, 8, dear) for _ in range(256)]
    assert [len(proposal) for proposal in proposals if proposal] == [LENGTHS[0]] * 2


def test_a_drafter_that_is_never_right_stops() -> None:
    speculation, fair = Speculation(), costs(w1=1.0, w3=1.2, w5=1.4, w9=1.8)
    made = 0
    for _ in range(100):
        proposal = speculation.propose(REPEATING, 0, 8, fair)
        if proposal:
            made += 1
            speculation.learn(len(proposal), 0)
    assert made < 15
    assert speculation.accepted == 0


def test_many_others_make_a_proposal_dear() -> None:
    """The step of all takes longer for the tokens of one."""
    speculation = Speculation()
    assert speculation.propose(REPEATING, 15, 8, costs(w16=1.0, w18=1.2, w20=1.4, w24=1.8)) == []


def test_prompts_are_cut_so_that_others_wait_about_a_second() -> None:
    pace = PromptPace(512)
    assert pace.tokens == 128
    pace.learn(128, 0.32)  # 400 tokens per second
    assert pace.tokens == 384  # whole tiles of attention
    slow = PromptPace(512)
    slow.learn(128, 60.0)
    assert slow.tokens == 32
    fast = PromptPace(512)
    fast.learn(512, 0.05)
    assert fast.tokens == 512
    fast.learn(5, 60.0)  # too short to tell
    assert fast.tokens == 512
