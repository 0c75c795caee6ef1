"""Runs many requests at once over a backend, on the one thread that may touch it.

Between two steps answers join and leave. A step computes the next token of every answer that generates and, within its
budget, parts of the prompts that are not computed yet; then all answers that are up to date choose a token.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import msgspec

from edgellm.errors import BackendError, EdgeLLMError, MissingAbilityError, UsageError
from edgellm_runtimes.backend import Backend
from edgellm_runtimes.core import Deliver
from edgellm_runtimes.dry import DryBreakers
from edgellm_runtimes.embedding import EmbedRequest
from edgellm_runtimes.encoder import no_generation
from edgellm_runtimes.generation import Request
from edgellm_runtimes.pulse import Pulse
from edgellm_runtimes.sampler import create_sampler
from edgellm_runtimes.scheduler.disk import DiskPrefixes
from edgellm_runtimes.scheduler.embedder import Embedder
from edgellm_runtimes.scheduler.grammars import GrammarQueue
from edgellm_runtimes.scheduler.inbox import Inbox
from edgellm_runtimes.scheduler.live import LiveAnswer
from edgellm_runtimes.scheduler.overflow import fit_prompt
from edgellm_runtimes.scheduler.running import RunningAnswers
from edgellm_runtimes.scheduler.slots import CacheKey, Slots
from edgellm_runtimes.scheduler.statistics import SchedulerStatistics
from edgellm_runtimes.scheduler.stepper import Stepper

if TYPE_CHECKING:
    from edgellm_runtimes.compute_lease import ComputeLease
    from edgellm_runtimes.kv_store import PrefixStore
    from edgellm_runtimes.structured import CompiledGrammar

__all__ = ["Scheduler"]

_QUEUE_LIMIT = 256


class Scheduler:
    """Owner of the decode thread. ``submit``, ``cancel`` and ``statistics`` may be called from any thread.

    ``deliver`` is called on the decode thread, at most once in a step, with what all requests got in it.
    ``prompt_tokens`` is how many tokens of prompts a step has at most beside answers that generate, ``idle_tokens`` how
    many tokens are kept in the cache for requests that may come. With ``save_chats`` requests may have theirs kept on
    disk.
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
        if idle_tokens is None:
            idle_tokens = max(limits.n_context, limits.n_pool // 4) if limits.shared_cells else limits.n_pool
        self._backend = backend
        self._deliver = deliver
        self._inbox = Inbox(queue_limit)
        self._statistics = SchedulerStatistics()
        self.pulse = Pulse()
        self._slots = Slots(backend, idle_tokens)
        self._disk = None if store is None else DiskPrefixes(backend, self._slots, store, adapter_digests or {})
        self._running = RunningAnswers(
            backend.settings.sequences,
            self._slots,
            self._disk,
            self._statistics,
            self._inbox.cancel,
            saves_chats=save_chats,
        )
        self._stepper = Stepper(
            backend,
            self._running,
            self._slots,
            self._statistics,
            lease.turn() if lease is not None else nullcontext(),
            lambda: self._inbox.is_closing,
            prompt_tokens or limits.n_batch,
            self.pulse,
        )
        self._embedder = Embedder(
            backend, self._running, self._slots, self._statistics, self._stepper, prompt_tokens or limits.n_batch
        )
        self._stepper.give_way = self._embedder.give_way
        self._embeds_next = False
        self._baked = list(baked)
        self._grammars = GrammarQueue(backend.vocabulary, limits.n_vocab)
        self._breakers = DryBreakers(backend.vocabulary)
        self._breakers_lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="edgellm-decode", daemon=True)
        self._thread.start()

    def submit(self, request: Request) -> None:
        """Queue ``request``. Raises UsageError for a prompt that does not fit, BusyError when the queue is full,
        BackendError after ``close``, MissingAbilityError where the model generates nothing."""
        if "generation" not in self._backend.capabilities:
            raise no_generation()
        options, params = request.options, request.options.sampling
        tokens, dropped = fit_prompt(request.prompt, options, self._backend.limits.n_context)
        key = CacheKey.of(options.scope, options.adapters)
        with self._breakers_lock:
            breakers = self._breakers.tokens(params.dry_breakers) if params.dry_multiplier else ()
        answers: list[LiveAnswer] = []
        for choice in range(options.choices):
            seed = answers[0].sampler.seed if choice else params.seed
            drawn = params if seed is None else msgspec.structs.replace(params, seed=(seed + choice) % 2**63)
            sampler = create_sampler(drawn, tokens, breakers)
            answers.append(LiveAnswer(request, choice, list(tokens), dropped, key, sampler))
        if options.grammar is not None:
            self._grammars.begin(
                request.id,
                options.grammar,
                lambda compiled: self._put_constrained(answers, compiled),
                lambda error: self._deliver([(request.id, error)]),
            )
            return
        self._queue(lambda: self._inbox.put(answers))

    def _queue(self, put: Callable[[], None]) -> None:
        try:
            put()
        except EdgeLLMError:
            self._statistics.refused += 1
            raise
        self._statistics.requests += 1

    def _put_constrained(self, answers: list[LiveAnswer], compiled: CompiledGrammar) -> None:
        """On the thread that compiles grammars."""
        for answer in answers:
            answer.constraint = compiled.start()
        self._queue(lambda: self._inbox.put(answers))

    def embed(self, request: EmbedRequest) -> None:
        """Queue texts to embed. Raises UnsupportedError where the model gives no embeddings, UsageError for a text that
        is empty or does not fit, BusyError when the queue is full, BackendError after ``close``."""
        if "embeddings" not in self._backend.capabilities:
            raise MissingAbilityError("this model gives no embeddings")
        n_context = self._backend.limits.n_context
        for index, text in enumerate(request.texts):
            if not 0 < len(text) <= n_context:
                raise UsageError(f"text {index} has {len(text)} tokens; 1 to {n_context} fit into the context")
        self._queue(lambda: self._inbox.put_embedding(request))

    def cancel(self, request_id: int) -> None:
        """Stop a request, also in the middle of its prompt. A chunk that is on its way may still arrive."""
        self._grammars.cancel(request_id)
        self._inbox.cancel(request_id)
        self._stepper.stop_step_of(request_id)

    def close(self) -> None:
        """Stop everything, wait for the thread and close the backend. Requests in flight get a BackendError."""
        self._grammars.close()
        self._inbox.close()
        self._backend.abort_flag.set()
        self._thread.join()

    def statistics(self) -> SchedulerStatistics:
        """A copy of the counts."""
        return msgspec.structs.replace(
            self._statistics,
            running=len(self._running.answers),
            embedding=len(self._embedder),
            waiting=len(self._inbox) + self._inbox.n_embeddings,
            cached_tokens=self._slots.n_idle_tokens,
        )

    def _work(self) -> None:
        self.pulse.start()
        try:
            if self._baked:
                self._bake()
            while not self._inbox.is_closing:
                self.pulse.beat()
                try:
                    if not self._turn():
                        self._send()
                        self.pulse.rest()
                        self._inbox.wait()
                except EdgeLLMError as error:
                    self._fail_all(error)
                except Exception as error:  # noqa: BLE001  whoever waits for the requests must hear of it
                    self._fail_all(BackendError(f"the decode thread failed: {error!r}"))
                self._send()
            self._running.answers += self._inbox.take(len(self._inbox))[0]
            self._embedder.join(self._inbox.take_embeddings(self._inbox.n_embeddings))
            self._fail_all(BackendError("the model was closed"))
            self._send()
        finally:
            self._inbox.close()  # whatever ended this thread: nobody shall wait for it
            if self._disk is not None:
                self._disk.close()
            self._backend.close()

    def _bake(self) -> None:
        """Have the state of the baked prefix before the first request comes. Without it everything works, slower."""
        key, tokens = CacheKey(None), self._baked
        try:
            sequence, computed = self._slots.take_empty(), 0
            if self._disk is not None:
                computed = self._disk.restore(key, [*tokens, 0], 0, sequence)
            is_new = computed < len(tokens)
            while computed < len(tokens):
                if self._inbox.is_closing:
                    return
                chunk = tokens[computed : computed + self._backend.limits.n_batch]
                self._stepper.compute_alone(sequence, chunk)
                computed += len(chunk)
            if is_new and self._disk is not None:
                self._disk.save(key, tokens, sequence, "system")
            self._slots.keep(key, tokens, sequence, pin=True)
        except Exception:  # noqa: BLE001  closed meanwhile, or it fails: the first request says so, on this thread
            self._slots.forget_all()

    def _turn(self) -> bool:
        """Let answers leave and join, and compute a step; False when there is nothing to do."""
        now = time.monotonic()
        arrivals, cancelled = self._inbox.take(max(0, self._running.room - self._embedder.n_borrowed))
        self._running.cancel(cancelled)
        self._embedder.cancel(cancelled)
        self._running.expire(now)
        self._running.expire_waiting(self._inbox.expired(now), now)
        self._running.join(arrivals, now)
        self._embedder.join(self._inbox.take_embeddings(self._embedder.room))
        if len(self._embedder) and (self._embeds_next or not self._running.answers):
            self._embeds_next = False
            if self._embedder.step():
                return True
        if not self._running.answers:
            return False
        self._embeds_next = True
        self._stepper.step()
        return True

    def _fail_all(self, error: EdgeLLMError) -> None:
        self._embedder.fail_all(error)
        self._running.fail_all(error)

    def _send(self) -> None:
        outbox = self._running.outbox
        if outbox:
            self._running.outbox = []
            self._deliver(outbox)
