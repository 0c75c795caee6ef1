"""One step of a batch: what it computes, and the tokens that come of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, TypeVar

from edgellm.errors import EdgeLLMError
from edgellm_runtimes.backend import Backend, CacheFullError, DecodeAbortedError, TokenSlice
from edgellm_runtimes.generation import FinishReason
from edgellm_runtimes.pulse import Pulse
from edgellm_runtimes.scheduler.live import LiveAnswer
from edgellm_runtimes.scheduler.overflow import tokens_to_drop
from edgellm_runtimes.scheduler.planning import Share, plan_step
from edgellm_runtimes.scheduler.running import RunningAnswers
from edgellm_runtimes.scheduler.selection import TokenChooser
from edgellm_runtimes.scheduler.slots import Slots, adapter_uses
from edgellm_runtimes.scheduler.statistics import SchedulerStatistics
from edgellm_runtimes.scheduler.step_costs import PromptPace, StepCosts
from edgellm_runtimes.thread_governor import ThreadGovernor

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["Stepper"]

T = TypeVar("T")

_WORTH_ABORTING = 0.5  # share of a step that is for requests nobody waits for any more


class Stepper:
    """Computes steps of ``running``. ``turn`` is entered around each decode; ``is_closing`` keeps one from beginning.

    ``prompt_tokens`` is how many tokens of prompts a step has at most beside answers that generate. ``give_way`` is
    asked for room in the cache when no prefix is left there; it returns False when there is none. ``pulse`` tells how
    it gets on.
    """

    def __init__(
        self,
        backend: Backend,
        running: RunningAnswers,
        slots: Slots,
        statistics: SchedulerStatistics,
        turn: AbstractContextManager[object],
        is_closing: Callable[[], bool],
        prompt_tokens: int,
        pulse: Pulse,
    ) -> None:
        self._backend = backend
        self._running = running
        self._slots = slots
        self._statistics = statistics
        self._lease = turn
        self._is_closing = is_closing
        self._pulse = pulse
        self._pace = PromptPace(prompt_tokens)
        self._chooser = TokenChooser(backend.vocabulary, backend.limits.n_vocab)
        self._costs = StepCosts()
        self._governor = ThreadGovernor(backend)
        self._can_speculate = True
        self.give_way: Callable[[], bool] = lambda: False
        self._step_requests: dict[int, int] = {}  # request id -> tokens in the step that is being computed

    def step(self) -> None:
        """Compute the next tokens of what can go on, and hand out what is chosen."""
        started = time.monotonic()
        self._slots.settle(self._running.answers)
        shares = self._plan()
        if not shares:
            return
        if not self._backend.limits.shared_cells:
            shares.sort(key=lambda share: share.answer.sequence)
        self._compute(shares)
        took = time.monotonic() - started
        statistics = self._statistics
        statistics.steps += 1
        statistics.step_s += took
        statistics.longest_step_s = max(statistics.longest_step_s, took)

    def stop_step_of(self, request_id: int) -> None:
        """From any thread: end the running step when it is mostly for this request, and for a prompt of it."""
        step = self._step_requests
        if step.get(request_id, 0) > 1 and step[request_id] >= _WORTH_ABORTING * sum(step.values()):
            self._backend.abort_flag.set()

    def compute_alone(self, sequence: int, tokens: Sequence[int]) -> None:
        """Append ``tokens``, at most a batch of them, to ``sequence``, outside any request."""
        started = time.monotonic()
        self._pulse.begin(len(tokens))
        with self._lease:
            self._backend.decode([TokenSlice(sequence, tokens, 0)])
        self._pulse.end(time.monotonic() - started)

    def _plan(self) -> list[Share]:
        """Answers of one set of adapters go together; the sets take turns."""
        ready = [answer for answer in self._running.answers if answer.follows is None]
        sets = list(dict.fromkeys(answer.key.adapters for answer in ready))
        chosen = sets[self._statistics.steps % len(sets)] if sets else ()
        ready = [answer for answer in ready if answer.key.adapters == chosen]
        try:
            self._backend.set_adapters(adapter_uses(chosen))
        except EdgeLLMError as error:
            for request in {answer.request.id: answer for answer in ready}.values():
                self._running.fail(request, error)
            return []
        for answer in ready:
            if answer.computed + answer.pending > self._backend.limits.n_context:
                self._shift(answer)
        shares = plan_step(ready, self._backend.limits.n_batch, self._pace.tokens)
        # with cells of their own, several sequences are computed together only where each has as many tokens
        alone = self._backend.limits.shared_cells or len(shares) == 1
        if self._can_speculate and alone and all(share.answer.is_generating for share in shares):
            return self._with_drafts(shares)
        return shares

    def _with_drafts(self, shares: list[Share]) -> list[Share]:
        limits = self._backend.limits
        n_tokens, n_rows = sum(share.n_tokens for share in shares), len(shares)
        drafted = []
        for share in shares:
            answer, draft = share.answer, list[int]()
            if answer.speculation is not None:
                most = min(limits.n_batch - n_tokens, limits.n_outputs - n_rows, answer.tokens_left(limits.n_context))
                draft = answer.speculation.propose(answer.tokens, n_tokens - share.n_tokens, most, self._costs)
            n_tokens += len(draft)
            n_rows += len(draft)
            drafted.append(Share(answer, share.n_tokens, draft))
        return drafted

    def _shift(self, answer: LiveAnswer) -> None:
        """Make room in a full context: take tokens out after the first ones that are kept."""
        keep = min(answer.request.options.keep, answer.n_prompt)
        drop = tokens_to_drop(keep, self._backend.limits.n_context)
        if answer.shared <= keep and self._backend.shift_sequence(answer.sequence, keep, drop):
            answer.computed -= drop
            answer.is_exact = False
        else:  # other sequences see the same cells, or the cache cannot be cut: what is kept is computed anew
            self._backend.drop_sequence(answer.sequence)
            answer.computed = answer.shared = 0
        del answer.tokens[keep : keep + drop]
        answer.dropped += drop
        if answer.speculation is not None:
            answer.speculation.lookup.clear()

    def _compute(self, shares: Sequence[Share]) -> None:
        slices = [
            TokenSlice(
                share.answer.sequence,
                [*share.answer.next_tokens(share.n_tokens), *share.draft],
                share.is_last + len(share.draft),
            )
            for share in shares
        ]
        rows = self._decode(shares, slices)
        if rows is None:
            return
        ready = [share for share in shares if share.is_last]
        for share in shares:
            if share.answer.computed < share.answer.n_prompt:
                self._statistics.prompt_tokens += share.n_tokens
            share.answer.computed += share.n_tokens
        first, row = list[int](), 0
        for share in ready:
            first.append(row)
            row += 1 + len(share.draft)
        started = time.monotonic()
        self._choose(ready, first, rows)
        self._statistics.sample_s += time.monotonic() - started

    def _decode(self, shares: Sequence[Share], slices: list[TokenSlice]) -> npt.NDArray[np.float32] | None:
        """The logits of the step; None when it was stopped and has to be planned again."""
        backend = self._backend
        tokens: dict[int, int] = {}
        for share in shares:
            tokens[share.answer.request.id] = tokens.get(share.answer.request.id, 0) + share.n_tokens

        def decode() -> npt.NDArray[np.float32]:
            begun = time.monotonic()
            rows = backend.decode(slices)
            self._learn(shares, sum(len(slice_.tokens) for slice_ in slices), time.monotonic() - begun)
            return rows

        try:
            return self.compute(tokens, decode, lambda: self._slots.make_room() or self.give_way())
        except DecodeAbortedError:
            for share in shares:
                share.answer.computed = backend.sequence_length(share.answer.sequence)
            return None

    def compute(self, tokens: dict[int, int], call: Callable[[], T], make_room: Callable[[], bool]) -> T | None:
        """One ``call`` of the backend, of so many tokens for each request; again as long as ``make_room`` finds room.

        Returns None when the model is about to be closed. Raises CacheFullError, DecodeAbortedError, BackendError.
        """
        self._backend.abort_flag.clear()
        self._step_requests = tokens
        if self._is_closing():
            return None
        n_tokens = sum(tokens.values())
        started = time.monotonic()
        self._pulse.begin(n_tokens)
        try:
            while True:
                try:
                    with self._lease, self._governor.watch(n_tokens):
                        return call()
                except CacheFullError:
                    if not make_room():
                        raise
        finally:
            self._step_requests = {}
            took = time.monotonic() - started
            self._statistics.compute_s += took
            self._pulse.end(took)

    def _learn(self, shares: Sequence[Share], n_tokens: int, seconds: float) -> None:
        if all(share.answer.is_generating for share in shares):
            self._costs.learn(n_tokens, seconds)
        else:
            self._pace.learn(n_tokens, seconds)

    def _choose(self, shares: Sequence[Share], first: Sequence[int], rows: npt.NDArray[np.float32]) -> None:
        """A token for each answer, and further ones as long as they are those of its draft. ``first`` are the rows that
        each answer's begin at."""
        going = list(zip(shares, first, strict=True))
        depth = 0
        while going:
            answers = [share.answer for share, _ in going]
            picked = rows if len(going) == len(rows) else rows[[row + depth for _, row in going]]
            tokens = self._chooser.choose(answers, picked)
            now = time.monotonic()
            self._statistics.generated_tokens += len(answers)
            ahead = []
            for (share, row), token in zip(going, tokens, strict=True):
                if isinstance(token, EdgeLLMError):
                    self._running.fail(share.answer, token)
                elif self._accept(share, token, depth, now):
                    ahead.append((share, row))
            going = ahead
            depth += 1

    def _accept(self, share: Share, token: int, depth: int, now: float) -> bool:
        """Show ``token``; True when it is the next one of the draft, whose logits are there."""
        answer, draft = share.answer, share.draft
        if answer.is_over:  # another choice of its request failed
            return False
        try:
            reason = self._take(answer, token, now)
        except EdgeLLMError as error:  # its grammar reached a limit
            self._running.fail(answer, error)
            return False
        goes_on = reason is None and depth < len(draft) and draft[depth] == token
        if goes_on:
            answer.computed += 1
        elif draft:
            self._end_draft(answer, len(draft), depth)
        if reason is not None:
            self._running.finish(answer, reason)
        elif not goes_on:
            self._running.outbox.append((answer.request.id, answer.take_chunk()))
        return goes_on

    def _take(self, answer: LiveAnswer, token: int, now: float) -> FinishReason | None:
        """Give ``token`` to the answer and its grammar, with what has to follow. Returns why the answer ends so."""
        vocabulary, n_context = self._backend.vocabulary, self._backend.limits.n_context
        constraint = answer.constraint
        if constraint is None:
            return answer.accept(token, vocabulary, n_context, now)
        constraint.accept(token)
        reason = answer.accept(token, vocabulary, n_context, now)
        if reason is None and answer.request.options.sampling.logprobs is None:
            for forced in constraint.forced():
                constraint.accept(forced)
                answer.sampler.accept(forced)
                self._statistics.generated_tokens += 1
                reason = answer.accept(forced, vocabulary, n_context, now)
                if reason is not None:
                    break
        return "stop" if reason is None and constraint.is_over else reason

    def _end_draft(self, answer: LiveAnswer, proposed: int, accepted: int) -> None:
        """Take what was wrong out of the cache."""
        assert answer.speculation is not None
        answer.speculation.learn(proposed, accepted)
        self._statistics.drafted_tokens += proposed
        self._statistics.accepted_tokens += accepted
        if self._backend.truncate_sequence(answer.sequence, answer.computed):
            return
        self._can_speculate = False  # this model's cache cannot be cut: never again
        self._backend.drop_sequence(answer.sequence)
        answer.computed = 0
