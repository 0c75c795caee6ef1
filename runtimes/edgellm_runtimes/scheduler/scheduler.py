"""Runs many requests at once over a backend, on the one thread that may touch it.

Between two steps answers join and leave. A step computes the next token of every answer that generates and, within its
budget, parts of the prompts that are not computed yet; then all answers that are up to date choose a token.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import msgspec

from edgellm.errors import BackendError, EdgeLLMError
from edgellm_runtimes.backend import Backend, CacheFullError, DecodeAbortedError, TokenSlice
from edgellm_runtimes.core import Deliver, Delivery
from edgellm_runtimes.dry import DryBreakers
from edgellm_runtimes.generation import AdapterUse, FinishReason, Request
from edgellm_runtimes.sampler import create_sampler
from edgellm_runtimes.scheduler.disk import DiskPrefixes
from edgellm_runtimes.scheduler.inbox import Inbox
from edgellm_runtimes.scheduler.live import LiveAnswer
from edgellm_runtimes.scheduler.overflow import fit_prompt, tokens_to_drop
from edgellm_runtimes.scheduler.planning import Share, plan_step
from edgellm_runtimes.scheduler.prefix_tree import common_length
from edgellm_runtimes.scheduler.selection import TokenChooser
from edgellm_runtimes.scheduler.slots import CacheKey, Slots
from edgellm_runtimes.scheduler.statistics import SchedulerStatistics
from edgellm_runtimes.scheduler.step_costs import StepCosts

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from edgellm_runtimes.compute_lease import ComputeLease
    from edgellm_runtimes.kv_store import PrefixStore

__all__ = ["Scheduler"]

_QUEUE_LIMIT = 256
_WORTH_WAITING = 32  # tokens of a prompt that another one is about to compute
_WORTH_ABORTING = 0.5  # share of a step that is for requests nobody waits for any more


class Scheduler:
    """Owner of the decode thread. ``submit``, ``cancel`` and ``statistics`` may be called from any thread.

    ``deliver`` is called on the decode thread, at most once in a step, with what all requests got in it. ``answers`` is
    how many run at once, ``prompt_tokens`` how many tokens of prompts a step computes beside answers that generate.
    ``baked`` is a prefix that is computed before anything else, or read from ``store``, and kept for all requests.
    """

    def __init__(
        self,
        backend: Backend,
        deliver: Deliver,
        *,
        queue_limit: int = _QUEUE_LIMIT,
        lease: ComputeLease | None = None,
        prompt_tokens: int | None = None,
        idle_tokens: int | None = None,
        store: PrefixStore | None = None,
        adapter_digests: Mapping[str, str] | None = None,
        baked: Sequence[int] = (),
        save_chats: bool = False,
    ) -> None:
        limits = backend.limits
        self._backend = backend
        self._deliver = deliver
        self._most_running = backend.settings.sequences
        self._prompt_tokens = prompt_tokens or limits.n_batch
        self._slots = Slots(backend, max(limits.n_context, limits.n_pool // 4) if idle_tokens is None else idle_tokens)
        self._disk = None if store is None else DiskPrefixes(backend, self._slots, store, adapter_digests or {})
        self._baked = list(baked)
        self._saves_chats = save_chats
        self._inbox = Inbox(queue_limit)
        self._lease = lease.turn() if lease is not None else nullcontext()
        self._running: list[LiveAnswer] = []
        self._step_requests: dict[int, int] = {}  # request id -> tokens in the step that is being computed
        self._outbox: list[Delivery] = []
        self._statistics = SchedulerStatistics()
        self._chooser = TokenChooser(backend.vocabulary, limits.n_vocab)
        self._costs = StepCosts()
        self._can_speculate = True
        self._breakers = DryBreakers(backend.vocabulary)
        self._breakers_lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="edgellm-decode", daemon=True)
        self._thread.start()

    def submit(self, request: Request) -> None:
        """Queue ``request``. Raises UsageError for a prompt that does not fit, BusyError when the queue is full,
        BackendError after ``close``."""
        options, params = request.options, request.options.sampling
        tokens, dropped = fit_prompt(request.prompt, options, self._backend.limits.n_context)
        key = CacheKey(options.scope, tuple(sorted((use.name, use.scale) for use in options.adapters if use.scale)))
        with self._breakers_lock:
            breakers = self._breakers.tokens(params.dry_breakers) if params.dry_multiplier else ()
        answers: list[LiveAnswer] = []
        for choice in range(options.choices):
            seed = answers[0].sampler.seed if choice else params.seed
            drawn = params if seed is None else msgspec.structs.replace(params, seed=(seed + choice) % 2**63)
            sampler = create_sampler(drawn, tokens, breakers)
            answers.append(LiveAnswer(request, choice, list(tokens), dropped, key, sampler))
        try:
            self._inbox.put(answers)
        except EdgeLLMError:
            self._statistics.refused += 1
            raise
        self._statistics.requests += 1

    def cancel(self, request_id: int) -> None:
        """Stop a request, also in the middle of its prompt. A chunk that is on its way may still arrive."""
        self._inbox.cancel(request_id)
        step = self._step_requests
        if step.get(request_id, 0) > 1 and step[request_id] >= _WORTH_ABORTING * sum(step.values()):
            self._backend.abort_flag.set()

    def close(self) -> None:
        """Stop everything, wait for the thread and close the backend. Requests in flight get a BackendError."""
        self._inbox.close()
        self._backend.abort_flag.set()
        self._thread.join()

    def statistics(self) -> SchedulerStatistics:
        """A copy of the counts."""
        return msgspec.structs.replace(
            self._statistics,
            running=len(self._running),
            waiting=len(self._inbox),
            cached_tokens=self._slots.n_idle_tokens,
        )

    def _work(self) -> None:
        try:
            if self._baked:
                self._bake()
            while not self._inbox.is_closing:
                try:
                    if not self._turn():
                        self._send()
                        self._inbox.wait()
                except EdgeLLMError as error:
                    self._fail_all(error)
                except Exception as error:  # noqa: BLE001  whoever waits for the requests must hear of it
                    self._fail_all(BackendError(f"the decode thread failed: {error!r}"))
                self._send()
            self._running += self._inbox.take(len(self._inbox))[0]
            self._fail_all(BackendError("the model was closed"))
            self._send()
        finally:
            if self._disk is not None:
                self._disk.close()
            self._backend.close()

    def _bake(self) -> None:
        """Have the state of the baked prefix before the first request comes. Without it everything works, slower."""
        key, tokens = CacheKey(None), self._baked
        try:
            sequence, computed = self._slots.take_empty(), 0
            if self._disk is not None:
                computed = self._disk.restore(key, [*tokens, 0], sequence, 0)
            is_new = computed < len(tokens)
            while computed < len(tokens):
                if self._inbox.is_closing:
                    return
                chunk = tokens[computed : computed + self._backend.limits.n_batch]
                with self._lease:
                    self._backend.decode([TokenSlice(sequence, chunk, 0)])
                computed += len(chunk)
            if is_new and self._disk is not None:
                self._disk.save(key, tokens, sequence, "system")
            self._slots.keep(key, tokens, sequence, pin=True)
        except EdgeLLMError:  # the model was closed meanwhile, or it fails: then the first request says so
            self._slots.forget_all()

    def _turn(self) -> bool:
        """One step; False when there is nothing to do."""
        started = time.monotonic()
        self._update(started)
        if not self._running:
            return False
        shares = self._plan()
        if not shares:
            return bool(self._running)
        self._step(shares)
        took = time.monotonic() - started
        statistics = self._statistics
        statistics.steps += 1
        statistics.step_s += took
        statistics.longest_step_s = max(statistics.longest_step_s, took)
        return True

    def _update(self, now: float) -> None:
        """Let answers leave and join."""
        arrivals, cancelled = self._inbox.take(self._most_running - len(self._running))
        for answer in [a for a in self._running if a.request.id in cancelled]:
            self._statistics.cancelled += 1
            self._leave(answer)
        for answer in [a for a in self._running if a.deadline is not None and a.deadline <= now]:
            self._finish(answer, "deadline")
        for answer in self._inbox.expired(now):
            answer.started = now
            self._outbox.append((answer.request.id, answer.last_chunk("deadline")))
        for answer in arrivals:
            answer.started = now
            self._running.append(answer)
            self._begin(answer)
        for answer in self._running:
            if answer.follows is not None:
                self._follow(answer)

    def _begin(self, answer: LiveAnswer) -> None:
        """Give ``answer`` a sequence, with what is there of its prompt; or let it wait for one that computes it."""
        leader, common = self._leader(answer)
        if leader is not None and common >= self._slots.matched(answer.key, answer.tokens) + _WORTH_WAITING:
            answer.follows = leader
            return
        answer.sequence, answer.computed = self._slots.take(answer.key, answer.tokens)
        answer.shared = answer.computed
        if self._disk is not None:
            answer.computed = self._disk.restore(answer.key, answer.tokens, answer.sequence, answer.computed)
        answer.reused = answer.computed
        self._statistics.reused_tokens += answer.computed

    def _leader(self, answer: LiveAnswer) -> tuple[LiveAnswer | None, int]:
        """The running answer with the longest common prefix, and its length; the prompt's last token does not count."""
        best, length = None, 0
        wanted = answer.tokens[:-1]
        for other in self._running:
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
        if leader not in self._running or not leader.is_exact:
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

    def _plan(self) -> list[Share]:
        """Answers of one set of adapters go together; the sets take turns."""
        ready = [answer for answer in self._running if answer.follows is None]
        sets = list(dict.fromkeys(answer.key.adapters for answer in ready))
        chosen = sets[self._statistics.steps % len(sets)] if sets else ()
        ready = [answer for answer in ready if answer.key.adapters == chosen]
        try:
            self._backend.set_adapters([AdapterUse(name, scale) for name, scale in chosen])
        except EdgeLLMError as error:
            for request in {answer.request.id: answer for answer in ready}.values():
                self._fail(request, error)
            return []
        for answer in ready:
            if answer.computed + answer.pending > self._backend.limits.n_context:
                self._shift(answer)
        shares = plan_step(ready, self._backend.limits.n_batch, self._prompt_tokens)
        if self._can_speculate and all(share.answer.is_generating for share in shares):
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

    def _step(self, shares: Sequence[Share]) -> None:
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
                    self._fail(share.answer, token)
                elif self._accept(share, token, depth, now):
                    ahead.append((share, row))
            going = ahead
            depth += 1

    def _accept(self, share: Share, token: int, depth: int, now: float) -> bool:
        """Show ``token``; True when it is the next one of the draft, whose logits are there."""
        answer, draft = share.answer, share.draft
        reason = answer.accept(token, self._backend.vocabulary, self._backend.limits.n_context, now)
        goes_on = reason is None and depth < len(draft) and draft[depth] == token
        if goes_on:
            answer.computed += 1
        elif draft:
            self._end_draft(answer, len(draft), depth)
        if reason is not None:
            self._finish(answer, reason)
        elif not goes_on:
            self._outbox.append((answer.request.id, answer.take_chunk()))
        return goes_on

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

    def _decode(self, shares: Sequence[Share], slices: list[TokenSlice]) -> npt.NDArray[np.float32] | None:
        """The logits of the step; None when it was stopped and has to be planned again."""
        backend = self._backend
        backend.abort_flag.clear()
        tokens: dict[int, int] = {}
        for share in shares:
            tokens[share.answer.request.id] = tokens.get(share.answer.request.id, 0) + share.n_tokens
        self._step_requests = tokens
        if self._inbox.is_closing:
            return None
        started = time.monotonic()
        try:
            while True:
                try:
                    with self._lease:
                        begun = time.monotonic()
                        rows = backend.decode(slices)
                    self._costs.learn(sum(len(slice_.tokens) for slice_ in slices), time.monotonic() - begun)
                    return rows
                except CacheFullError:
                    if not self._slots.make_room():
                        raise
        except DecodeAbortedError:
            for share in shares:
                share.answer.computed = backend.sequence_length(share.answer.sequence)
            return None
        finally:
            self._step_requests = {}
            self._statistics.compute_s += time.monotonic() - started

    def _finish(self, answer: LiveAnswer, reason: FinishReason) -> None:
        self._outbox.append((answer.request.id, answer.last_chunk(reason)))
        if self._saves_chats and self._disk is not None and answer.request.options.save and answer.is_exact:
            self._disk.save(answer.key, answer.tokens[: answer.computed], answer.sequence, "chat")
        self._leave(answer)

    def _leave(self, answer: LiveAnswer) -> None:
        """``answer`` runs no more; what was computed of it may serve others."""
        self._running.remove(answer)
        if answer.sequence < 0:
            return
        if answer.is_exact:
            self._slots.keep(answer.key, answer.tokens[: answer.computed], answer.sequence)
        else:
            self._slots.drop(answer.sequence)

    def _fail(self, answer: LiveAnswer, error: EdgeLLMError) -> None:
        """``answer`` ends with ``error``, and the other choices of its request with it."""
        self._outbox.append((answer.request.id, error))
        self._statistics.failed += 1
        for other in [other for other in self._running if other.request.id == answer.request.id]:
            self._running.remove(other)
            if other.sequence >= 0:
                self._slots.drop(other.sequence)
        self._inbox.cancel(answer.request.id)

    def _fail_all(self, error: EdgeLLMError) -> None:
        """After a failure nothing in the cache is trusted."""
        failed = dict.fromkeys(answer.request.id for answer in self._running)
        self._statistics.failed += len(failed)
        self._running.clear()
        self._outbox += [(request_id, error) for request_id in failed]
        self._slots.forget_all()
        for request_id in failed:
            self._inbox.cancel(request_id)

    def _send(self) -> None:
        if self._outbox:
            outbox, self._outbox = self._outbox, []
            self._deliver(outbox)
