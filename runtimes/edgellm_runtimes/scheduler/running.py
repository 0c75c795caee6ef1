"""The answers that have a place in the batch: how they join it, wait for each other, and leave it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING

from edgellm.errors import EdgeLLMError
from edgellm_runtimes.core import Delivery
from edgellm_runtimes.generation import FinishReason
from edgellm_runtimes.scheduler.live import LiveAnswer
from edgellm_runtimes.scheduler.prefix_tree import common_length
from edgellm_runtimes.scheduler.slots import Slots
from edgellm_runtimes.scheduler.statistics import SchedulerStatistics

if TYPE_CHECKING:
    from edgellm_runtimes.scheduler.disk import DiskPrefixes

__all__ = ["RunningAnswers"]

_WORTH_WAITING = 32  # tokens of a prompt that another one is about to compute


class RunningAnswers:
    """At most ``most`` answers at once. ``outbox`` collects what goes to whoever asked.

    ``forget`` is called with the id of a request that failed, so that its answers that still wait are not begun.
    """

    def __init__(
        self,
        most: int,
        slots: Slots,
        disk: DiskPrefixes | None,
        statistics: SchedulerStatistics,
        forget: Callable[[int], None],
        *,
        saves_chats: bool,
    ) -> None:
        self.answers: list[LiveAnswer] = []
        self.outbox: list[Delivery] = []
        self._most = most
        self._slots = slots
        self._disk = disk
        self._statistics = statistics
        self._forget = forget
        self._saves_chats = saves_chats

    @property
    def room(self) -> int:
        """How many more may join."""
        return self._most - len(self.answers)

    def join(self, arrivals: Iterable[LiveAnswer], now: float) -> None:
        """Begin ``arrivals``, and let those go on that wait for a prefix which is there by now."""
        for answer in arrivals:
            answer.started = now
            self.answers.append(answer)
            self._begin(answer)
        for answer in self.answers:
            if answer.follows is not None:
                self._follow(answer)

    def cancel(self, requests: Collection[int]) -> None:
        """Nobody waits for these any more."""
        for answer in [answer for answer in self.answers if answer.request.id in requests]:
            self._statistics.cancelled += 1
            self._leave(answer)

    def expire(self, now: float) -> None:
        """End what has reached its deadline, with what is there."""
        for answer in [answer for answer in self.answers if answer.deadline is not None and answer.deadline <= now]:
            self.finish(answer, "deadline")

    def expire_waiting(self, answers: Iterable[LiveAnswer], now: float) -> None:
        """End what has reached its deadline before it had a place."""
        for answer in answers:
            answer.started = now
            self.outbox.append((answer.request.id, answer.last_chunk("deadline")))

    def finish(self, answer: LiveAnswer, reason: FinishReason) -> None:
        """``answer`` is complete."""
        self.outbox.append((answer.request.id, answer.last_chunk(reason)))
        if self._saves_chats and self._disk is not None and answer.request.options.save and answer.is_exact:
            self._disk.save(answer.key, answer.tokens[: answer.computed], answer.sequence, "chat")
        self._leave(answer)

    def fail(self, answer: LiveAnswer, error: EdgeLLMError) -> None:
        """``answer`` ends with ``error``, and the other choices of its request with it."""
        self.outbox.append((answer.request.id, error))
        self._statistics.failed += 1
        for other in [other for other in self.answers if other.request.id == answer.request.id]:
            self._remove(other)
            if other.sequence >= 0:
                self._slots.drop(other.sequence)
        self._forget(answer.request.id)

    def fail_all(self, error: EdgeLLMError) -> None:
        """After a failure nothing in the cache is trusted."""
        failed = dict.fromkeys(answer.request.id for answer in self.answers)
        self._statistics.failed += len(failed)
        for answer in list(self.answers):
            self._remove(answer)
        self.outbox += [(request_id, error) for request_id in failed]
        self._slots.forget_all()
        for request_id in failed:
            self._forget(request_id)

    def _begin(self, answer: LiveAnswer) -> None:
        """Give ``answer`` a sequence, with what is there of its prompt; or let it wait for one that computes it."""
        leader, common = self._leader(answer)
        held = self._slots.matched(answer.key, answer.tokens)
        if leader is not None and common >= held + _WORTH_WAITING:
            answer.follows = leader
            return
        if not self._restore(answer, held):
            answer.sequence, answer.computed = self._slots.take(answer.key, answer.tokens)
            answer.shared = answer.computed
        answer.reused = answer.computed
        self._statistics.reused_tokens += answer.computed

    def _restore(self, answer: LiveAnswer, held: int) -> bool:
        """Begin with what is on disk, where that is more than the ``held`` tokens in memory; False where nothing came
        of it."""
        if self._disk is None or self._disk.find(answer.key, answer.tokens, held) is None:
            return False
        answer.sequence = self._slots.take_empty()
        answer.computed = self._disk.restore(answer.key, answer.tokens, held, answer.sequence)
        if answer.computed == 0:
            self._slots.drop(answer.sequence)
        return answer.computed > 0

    def _leader(self, answer: LiveAnswer) -> tuple[LiveAnswer | None, int]:
        """The running answer with the longest common prefix, and its length; the prompt's last token does not count."""
        best, length = None, 0
        wanted = answer.tokens[:-1]
        for other in self.answers:
            if other is answer or other.key != answer.key or other.follows is not None or not other.is_exact:
                continue
            common = common_length(wanted, other.tokens)
            if common > length:
                best, length = other, common
        return best, length

    def _follow(self, answer: LiveAnswer) -> None:
        """Go on when the prefix that ``answer`` waits for is computed, or will never be."""
        leader = answer.follows
        assert leader is not None
        answer.follows = None
        if leader not in self.answers or not leader.is_exact:
            self._begin(answer)
            return
        common = common_length(answer.tokens[:-1], leader.tokens)
        if leader.computed < common:
            answer.follows = leader
            return
        answer.sequence, answer.computed = self._slots.take_copy(leader.sequence, common)
        leader.shared = max(leader.shared, answer.computed)
        answer.reused = answer.shared = answer.computed
        self._statistics.reused_tokens += answer.computed

    def _leave(self, answer: LiveAnswer) -> None:
        """``answer`` runs no more; what was computed of it may serve others."""
        self._remove(answer)
        if answer.sequence < 0:
            return
        if answer.is_exact:
            self._slots.keep(answer.key, answer.tokens[: answer.computed], answer.sequence)
        else:
            self._slots.drop(answer.sequence)

    def _remove(self, answer: LiveAnswer) -> None:
        answer.is_over = True
        self.answers.remove(answer)
