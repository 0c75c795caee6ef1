"""Which tokens a step computes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from edgellm_runtimes.scheduler.live import LiveAnswer
from edgellm_runtimes.scheduler.planning import plan_step


def answers(*pending: int) -> list[LiveAnswer]:
    return [cast(LiveAnswer, SimpleNamespace(pending=n, follows=None, is_generating=n == 1)) for n in pending]


def planned(given: list[LiveAnswer], n_batch: int, n_prompt: int) -> list[int]:
    shares = {id(share.answer): share.n_tokens for share in plan_step(given, n_batch, n_prompt)}
    return [shares.get(id(answer), 0) for answer in given]


def test_answers_that_generate_go_on_beside_a_long_prompt() -> None:
    assert planned(answers(1, 4000, 1), 512, 256) == [1, 256, 1]


def test_a_prompt_alone_gets_the_whole_step() -> None:
    assert planned(answers(4000), 512, 256) == [512]


def test_a_short_prompt_overtakes_a_long_one_that_goes_on_all_the_same() -> None:
    assert planned(answers(4000, 100), 512, 512) == [412, 100]
    assert planned(answers(4000, 400, 400), 512, 512) == [128, 384, 0]


def test_who_waits_for_another_one_is_left_out() -> None:
    two = answers(100, 100)
    two[1].follows = two[0]
    assert planned(two, 512, 512) == [100, 0]


@given(st.lists(st.integers(1, 600), max_size=20), st.integers(1, 512), st.integers(1, 512))
def test_a_step_is_never_too_large_and_never_idle(pending: list[int], n_batch: int, n_prompt: int) -> None:
    some = answers(*pending)
    shares = planned(some, n_batch, n_prompt)
    assert sum(shares) <= n_batch
    assert all(0 <= share <= answer.pending for share, answer in zip(shares, some, strict=True))
    assert bool(sum(shares)) == bool(pending)
    prompts = [n for n in pending if n > 1]
    generating = sum(n == 1 for n in pending)
    if prompts and generating < n_batch:
        assert next(share for share, answer in zip(shares, some, strict=True) if answer.pending > 1) > 0
