"""Which tokens the next step computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from edgellm_runtimes.scheduler.live import LiveAnswer

__all__ = ["Share", "plan_step"]

_AGED_SHARE = 4  # the prompt that waits longest gets at least this part of what is left for prompts


class Share(NamedTuple):
    """Of one answer, the first ``n_tokens`` that are not computed yet."""

    answer: LiveAnswer
    n_tokens: int
    draft: Sequence[int] = ()  # tokens that may follow, to be checked in the same step

    @property
    def is_last(self) -> bool:
        """True when a token can be chosen after this step."""
        return self.n_tokens == self.answer.pending


def plan_step(answers: Sequence[LiveAnswer], n_batch: int, n_prompt: int) -> list[Share]:
    """Shares of one step of at most ``n_batch`` tokens. ``answers`` are in the order of their arrival.

    Answers that generate come first, each with its token (a few, where a grammar left no choice). Prompts share the
    rest, at most ``n_prompt`` tokens where others generate: the shortest is finished first, but the oldest goes on too:
    no number of short ones stops it.
    """
    ready = [answer for answer in answers if answer.follows is None]
    shares = []
    room = n_batch
    for answer in ready:
        if answer.is_generating and answer.pending <= room:
            shares.append(Share(answer, answer.pending))
            room -= answer.pending
    if shares:
        room = min(room, n_prompt)
    prompts = [answer for answer in ready if not answer.is_generating]
    if not prompts or room < 1:
        return shares
    oldest = prompts[0]
    reserved = min(oldest.pending, max(1, room // _AGED_SHARE))
    given = {id(oldest): reserved}
    room -= reserved
    for answer in sorted(prompts, key=lambda each: each.pending):
        more = min(answer.pending - given.get(id(answer), 0), room)
        if more > 0:
            given[id(answer)] = given.get(id(answer), 0) + more
            room -= more
    return shares + [Share(answer, given[id(answer)]) for answer in prompts if id(answer) in given]
