"""Embeds texts beside the answers that run: in steps of its own, which take turns with theirs.

A step of embeddings ends before the output matrix. In one step with answers their rows would have to go through it, or
the answers could not: two steps cost less than that matrix for every token of a text.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from edgellm.errors import BackendError, EdgeLLMError
from edgellm_runtimes.backend import Backend, CacheFullError, DecodeAbortedError, TokenSlice
from edgellm_runtimes.embedding import EmbedOptions, EmbedRequest
from edgellm_runtimes.scheduler.running import RunningAnswers
from edgellm_runtimes.scheduler.slots import Slots, adapter_uses
from edgellm_runtimes.scheduler.statistics import SchedulerStatistics
from edgellm_runtimes.scheduler.step_costs import PromptPace
from edgellm_runtimes.scheduler.stepper import Stepper
from edgellm_runtimes.scheduler.texts import LiveText, LiveTexts, TextShare, plan_texts

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["Embedder"]

_MOST_REQUESTS = 32  # that share the steps; more wait in the queue


class Embedder:
    """The requests for embeddings that have begun; the decode thread's alone.

    Texts take sequences that are spare: those that no answer can claim. Half of them they take from prefixes that may
    come again, the others only while they are free. What goes to whoever asked is put into the outbox of ``running``.
    """

    def __init__(
        self,
        backend: Backend,
        running: RunningAnswers,
        slots: Slots,
        statistics: SchedulerStatistics,
        stepper: Stepper,
        prompt_tokens: int,
    ) -> None:
        self._backend = backend
        self._running = running
        self._slots = slots
        self._statistics = statistics
        self._stepper = stepper
        self._pace = PromptPace(min(prompt_tokens, backend.limits.n_hidden))
        self._requests: deque[LiveTexts] = deque()  # the first one chooses first in the next step
        self._n_begun = 0
        self._begun_tokens = 0
        self._is_full = False  # in this step
        self._spare = backend.limits.n_sequences - backend.settings.sequences
        self._is_encoder = "generation" not in backend.capabilities

    def __len__(self) -> int:
        """Number of requests that have begun."""
        return len(self._requests)

    @property
    def room(self) -> int:
        """How many more requests may join."""
        return _MOST_REQUESTS - len(self._requests)

    @property
    def n_borrowed(self) -> int:
        """Places of answers that texts have, where there is no spare sequence."""
        return 0 if self._spare else self._n_begun

    def join(self, requests: Iterable[EmbedRequest]) -> None:
        """Begin ``requests``."""
        self._requests += [LiveTexts(request) for request in requests]

    def cancel(self, requests: Collection[int]) -> None:
        """Nobody waits for these any more."""
        for live in [live for live in self._requests if live.request.id in requests]:
            self._statistics.cancelled += 1
            self._remove(live)

    def fail_all(self, error: EdgeLLMError) -> None:
        """After a failure, which has emptied every sequence."""
        for live in self._requests:
            self._running.outbox.append((live.request.id, error))
            self._statistics.failed += 1
        self._requests.clear()
        self._n_begun = self._begun_tokens = 0

    def give_way(self) -> bool:
        """Answers need the room in the cache: what is begun begins again later. False when nothing is."""
        if not self._n_begun:
            return False
        for live in self._requests:
            for text in live.begun[::-1]:
                self._restart(live, text)
        return True

    def step(self) -> bool:
        """Compute the next tokens of some texts. False when that has to wait for an answer to end."""
        first, self._is_full = self._requests[0], False
        most = self._backend.limits.n_hidden
        if self._running.answers:
            most = min(most, self._pace.tokens)
        for key in dict.fromkeys(live.key for live in self._requests):
            alike = [live for live in self._requests if live.key == key]
            shares = plan_texts(alike, most, self._begin, whole=self._is_encoder)
            if not shares:
                continue
            if shares[0].text.request is first.request:
                self._requests.rotate(-1)
            try:
                self._backend.set_adapters(adapter_uses(key.adapters))
            except EdgeLLMError as error:
                for live in alike:
                    self._fail(live, error)
                return True
            return self._compute(shares)
        if not self._running.answers:
            self._fail(first, BackendError("every sequence of the model is in use"))
        return not self._running.answers

    def _begin(self, text: LiveText) -> bool:
        """Give ``text`` a sequence. Where there is none for one text, none after it gets one in the same step."""
        self._is_full = self._is_full or not self._find_sequence(text)
        return not self._is_full

    def _find_sequence(self, text: LiveText) -> bool:
        """A sequence, and room in the cache where other texts take some already."""
        if self._n_begun >= max(1, self._spare) or (not self._spare and self._running.room < 1):
            return False
        asked = sum(len(answer.tokens) for answer in self._running.answers) + self._begun_tokens + len(text.tokens)
        if self._n_begun and asked > self._backend.limits.n_pool:
            return False
        if not self._slots.n_free and self._n_begun >= max(1, self._spare // 2):
            return False
        try:
            text.sequence = self._slots.lend()
        except BackendError:
            return False
        self._n_begun += 1
        self._begun_tokens += len(text.tokens)
        return True

    def _compute(self, shares: Sequence[TextShare]) -> bool:
        pools = all(self._pools(text.request.options) for text, _ in shares)
        slices, tokens = list[TokenSlice](), dict[int, int]()
        for text, n_tokens in shares:
            slices.append(TokenSlice(text.sequence, text.tokens[text.computed : text.computed + n_tokens]))
            tokens[text.request.id] = tokens.get(text.request.id, 0) + n_tokens

        def call() -> npt.NDArray[np.float32]:
            begun = time.monotonic()
            rows = self._backend.text_vectors(slices) if pools else self._backend.hidden_states(slices)
            self._pace.learn(sum(tokens.values()), time.monotonic() - begun)
            return rows

        try:
            rows = self._stepper.compute(tokens, call, self._slots.make_room)
        except CacheFullError:
            return self._make_room(shares[0].text)
        except DecodeAbortedError:
            for text, _ in shares:
                self._cut(text)
            return True
        if rows is None:
            return True
        first = 0
        for place, (text, n_tokens) in enumerate(shares):
            if pools:
                text.take(rows[place])
            else:
                text.add(rows[first : first + n_tokens])
            first += n_tokens
        self._statistics.embedded_tokens += first
        for text, _ in shares:
            if text.pending == 0:
                self._finish(text)
        return True

    def _pools(self, options: EmbedOptions) -> bool:
        """Whether the model's own pooling gives what is asked for."""
        facts = self._backend.facts
        if "pooling" not in self._backend.capabilities or options.pooling != facts.pooling:
            return False
        return options.normalise or not facts.normalised

    def _make_room(self, kept: LiveText) -> bool:
        """The cache is full though no prefix is left in it: all texts but one begin again later."""
        others = [(live, text) for live in self._requests for text in live.begun[::-1] if text is not kept]
        for live, text in others:
            self._restart(live, text)
        if not others and not self._running.answers:
            raise BackendError(f"the KV cache of {self._backend.limits.n_pool} tokens has no room for a text")
        return bool(others)

    def _cut(self, text: LiveText) -> None:
        """A stopped step may have left a part of its tokens in the cache."""
        if text.computed and self._backend.truncate_sequence(text.sequence, text.computed):
            return
        self._backend.drop_sequence(text.sequence)
        sequence = text.sequence
        text.restart()
        text.sequence = sequence

    def _finish(self, text: LiveText) -> None:
        live = self._live(text)
        try:
            embedding = text.finish()
        except BackendError as error:
            self._fail(live, error)
            return
        self._running.outbox.append((text.request.id, embedding))
        self._statistics.embedded_texts += 1
        live.begun.remove(text)
        self._release(text)
        if live.is_over:
            self._requests.remove(live)

    def _fail(self, live: LiveTexts, error: EdgeLLMError) -> None:
        self._running.outbox.append((live.request.id, error))
        self._statistics.failed += 1
        self._remove(live)

    def _remove(self, live: LiveTexts) -> None:
        self._requests.remove(live)
        for text in live.begun:
            self._release(text)

    def _restart(self, live: LiveTexts, text: LiveText) -> None:
        live.begun.remove(text)
        self._release(text)
        text.restart()
        live.waiting.appendleft(text)

    def _release(self, text: LiveText) -> None:
        self._slots.drop(text.sequence)
        self._n_begun -= 1
        self._begun_tokens -= len(text.tokens)

    def _live(self, text: LiveText) -> LiveTexts:
        return next(live for live in self._requests if live.request is text.request)
