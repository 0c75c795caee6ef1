"""Runs requests over a backend, on the one thread that may touch it.

Requests run one after the other in the order of their arrival; the sequence stays in the KV cache, so a prompt that
begins like the last conversation is computed from where they part.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import msgspec

from edgellm.errors import BackendError, BusyError, EdgeLLMError
from edgellm_runtimes.backend import Backend, DecodeAbortedError, TokenSlice
from edgellm_runtimes.detokenizer import IncrementalDetokenizer, StopMatcher
from edgellm_runtimes.dry import DryBreakers
from edgellm_runtimes.generation import Chunk, FinishReason, GenerationStats, Request
from edgellm_runtimes.sampler import TokenLogprobs, create_sampler

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from edgellm_runtimes.compute_lease import ComputeLease

__all__ = ["Scheduler", "SchedulerStatistics"]

_SEQUENCE = 0
_LONGEST_QUEUE = 256


class SchedulerStatistics(msgspec.Struct):
    """What a scheduler does now and has done."""

    running: int = 0
    waiting: int = 0
    steps: int = 0
    generated_tokens: int = 0


class Scheduler:
    """Owner of the decode thread. ``submit``, ``cancel`` and ``statistics`` may be called from any thread."""

    def __init__(
        self,
        backend: Backend,
        deliver: Callable[[list[tuple[int, Chunk | EdgeLLMError]]], None],
        *,
        queue_limit: int = _LONGEST_QUEUE,
        lease: ComputeLease | None = None,
    ) -> None:
        self._backend = backend
        self._deliver = deliver
        self._queue_limit = queue_limit
        self._turn = lease.turn() if lease is not None else nullcontext()
        self._changed = threading.Condition()
        self._waiting: deque[_Work] = deque()
        self._running: _Work | None = None
        self._closing = False
        self._cached: list[int] = []  # the tokens that the KV cache holds
        self._breakers = DryBreakers(backend.vocabulary)
        self._statistics = SchedulerStatistics()
        self._thread = threading.Thread(target=self._work, name="edgellm-decode", daemon=True)
        self._thread.start()

    def submit(self, request: Request) -> None:
        """Queue ``request``. Raises BusyError when the queue is full, BackendError after ``close``."""
        with self._changed:
            if self._closing:
                raise BackendError("the model is closed")
            if len(self._waiting) >= self._queue_limit:
                raise BusyError(f"{self._queue_limit} requests are waiting already", hint="try again later")
            self._waiting.append(_Work(request, self._deliver))
            self._changed.notify()

    def cancel(self, request_id: int) -> None:
        """Stop a request, also in the middle of its prefill. A chunk that is on its way may still arrive."""
        with self._changed:
            for work in list(self._waiting):
                if work.request.id == request_id:
                    self._waiting.remove(work)
            if self._running is not None and self._running.request.id == request_id:
                self._running.cancelled = True
                self._backend.abort_flag.set()

    def statistics(self) -> SchedulerStatistics:
        """A copy of the counts."""
        with self._changed:
            running, waiting = int(self._running is not None), len(self._waiting)
            return msgspec.structs.replace(self._statistics, running=running, waiting=waiting)

    def close(self) -> None:
        """Stop everything, wait for the thread and close the backend. Requests in flight get a BackendError."""
        with self._changed:
            self._closing = True
            if self._running is not None:
                self._running.cancelled = True
                self._backend.abort_flag.set()
            waiting, self._waiting = list(self._waiting), deque()
            self._changed.notify()
        for work in waiting:
            work.emit(BackendError("the model was closed before the request had its turn"))
        self._thread.join()

    def _work(self) -> None:
        try:
            while (work := self._next()) is not None:
                try:
                    for choice in range(work.request.options.choices):
                        if not work.cancelled:
                            _Generation(self, work, choice).run()
                except EdgeLLMError as error:
                    self._forget()
                    work.emit(error)
                except Exception as error:  # noqa: BLE001  whoever waits for the request must hear of it
                    self._forget()
                    work.emit(BackendError(f"the decode thread failed: {error!r}"))
                if self._closing:
                    work.emit(BackendError("the model was closed"))
        finally:
            self._backend.close()

    def _next(self) -> _Work | None:
        with self._changed:
            self._running = None
            while not self._waiting and not self._closing:
                self._changed.wait()
            if self._closing:
                return None
            self._running = self._waiting.popleft()
            self._backend.abort_flag.clear()
            return self._running

    def _forget(self) -> None:
        """After an error nothing in the cache is trusted."""
        self._backend.drop_sequence(_SEQUENCE)
        self._cached.clear()


class _Work:
    """A request that waits or runs."""

    def __init__(self, request: Request, deliver: Callable[[list[tuple[int, Chunk | EdgeLLMError]]], None]) -> None:
        self.request = request
        self.cancelled = False
        self._deliver = deliver

    def emit(self, item: Chunk | EdgeLLMError) -> None:
        self._deliver([(self.request.id, item)])


class _Generation:
    """One request from prefill to its last token. ``cached`` mirrors the KV cache and outlives the request."""

    def __init__(self, scheduler: Scheduler, work: _Work, choice: int) -> None:
        self._backend = scheduler._backend
        self._work = work
        self._request = work.request
        self._choice = choice
        self._stops = StopMatcher(work.request.options.stop)
        self._turn = scheduler._turn
        self._counts = scheduler._statistics
        self._cached = scheduler._cached
        self._breakers = scheduler._breakers
        self._detokenizer = IncrementalDetokenizer()
        self._row: npt.NDArray[np.float32]
        self._unsent: list[int] = []  # tokens and text since the last chunk
        self._logprobs: list[TokenLogprobs] = []
        self._text = ""
        self._generated = 0
        self._reused = 0
        self._started = self._first_token = self._last_token = time.monotonic()

    def run(self) -> None:
        """Prefill, then sample and decode until something ends it or it is cancelled."""
        request, params = self._request, self._request.options.sampling
        if params.seed is not None:
            params = msgspec.structs.replace(params, seed=(params.seed + self._choice) % 2**63)
        breakers = self._breakers.tokens(params.dry_breakers) if params.dry_multiplier else ()
        sampler = create_sampler(params, request.prompt, breakers)
        more = self._prefill(request.prompt)
        while more:
            token = sampler.sample(self._row)
            if params.logprobs is not None:
                self._logprobs.append(sampler.logprobs)
            reason = self._accept(token)
            if reason is not None:
                self._finish(reason, sampler.seed)
                return
            more = self._decode([token])

    def _prefill(self, prompt: Sequence[int]) -> bool:
        """Compute what the cache does not hold; False when cancelled."""
        backend, cached = self._backend, self._cached
        shared = _common_prefix(cached, prompt[:-1])  # the last token is computed for its logits
        if not backend.truncate_sequence(_SEQUENCE, shared):
            backend.drop_sequence(_SEQUENCE)
            shared = 0
        del cached[shared:]
        self._reused = shared
        size = backend.limits.n_batch
        return all(
            self._decode(prompt[start : start + size], n_outputs=int(start + size >= len(prompt)))
            for start in range(shared, len(prompt), size)
        )

    def _decode(self, tokens: Sequence[int], n_outputs: int = 1) -> bool:
        """Append ``tokens`` and keep the logits of the last one; False when cancelled."""
        if self._work.cancelled:
            return False
        try:
            with self._turn:
                rows = self._backend.decode([TokenSlice(_SEQUENCE, tokens, n_outputs)])
            self._counts.steps += 1
        except DecodeAbortedError:
            kept = self._backend.sequence_length(_SEQUENCE)
            self._cached.extend(tokens[: kept - len(self._cached)])
            if self._work.cancelled:
                return False
            raise
        self._cached.extend(tokens)
        if n_outputs:
            self._row = rows[0]
        return True

    def _accept(self, token: int) -> FinishReason | None:
        """Show the text of ``token``. Returns why the generation ends, or None to go on."""
        vocabulary, params, stops = self._backend.vocabulary, self._request.options.sampling, self._stops
        self._last_token = time.monotonic()
        if self._generated == 0:
            self._first_token = self._last_token
        self._generated += 1
        self._counts.generated_tokens += 1
        self._unsent.append(token)
        if vocabulary.is_end(token) and not params.ignore_eos:
            return "stop"
        self._text += stops.push(self._detokenizer.push(vocabulary.piece(token)))
        if stops.matched is not None:
            return "stop"
        if self._generated == params.max_tokens or len(self._cached) >= self._backend.limits.n_context:
            return "length"
        self._emit()
        return None

    def _finish(self, reason: FinishReason, seed: int) -> None:
        """Emit what was held back, with the reason and the statistics."""
        stops = self._stops
        self._text += stops.push(self._detokenizer.finish()) + stops.finish()
        stats = GenerationStats(
            prompt_tokens=len(self._request.prompt),
            cached_tokens=self._reused,
            generated_tokens=self._generated,
            queue_s=self._started - self._request.created,
            prompt_s=self._first_token - self._started,
            decode_s=self._last_token - self._first_token,
            seed=seed,
        )
        self._emit(reason, stops.matched, stats)

    def _emit(
        self, reason: FinishReason | None = None, matched: str | None = None, stats: GenerationStats | None = None
    ) -> None:
        if not self._work.cancelled:
            logprobs = tuple(self._logprobs)
            chunk = Chunk(self._text, tuple(self._unsent), reason, matched, stats, logprobs, self._choice)
            self._work.emit(chunk)
        self._text = ""
        self._unsent.clear()
        self._logprobs.clear()


def _common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    """Number of tokens that both begin with."""
    limit = min(len(left), len(right))
    if left[:limit] == right[:limit]:
        return limit
    return next(index for index in range(limit) if left[index] != right[index])
