"""One answer on its way from its prompt to its last token."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgellm_runtimes.detokenizer import IncrementalDetokenizer, StopMatcher
from edgellm_runtimes.generation import Chunk, FinishReason, GenerationStats, Request
from edgellm_runtimes.sampler import Sampler, TokenLogprobs
from edgellm_runtimes.scheduler.speculation import Speculation

if TYPE_CHECKING:
    from edgellm_runtimes.backend import Vocabulary
    from edgellm_runtimes.scheduler.slots import CacheKey
    from edgellm_runtimes.structured import Constraint

__all__ = ["LiveAnswer"]

_FEW = 16  # tokens


class LiveAnswer:
    """Tokens of prompt and answer, how many of them the backend has computed, and what was not sent yet."""

    def __init__(
        self, request: Request, choice: int, tokens: list[int], dropped: int, key: CacheKey, sampler: Sampler
    ) -> None:
        self.request = request
        self.choice = choice
        self.key = key
        self.tokens = tokens
        self.n_prompt = len(tokens)
        self.computed = 0  # of the tokens; the rest waits for the next steps
        self.sequence = -1  # of the backend, while it runs
        self.sampler = sampler
        self.dropped = dropped  # tokens that an overflow took out
        self.is_over = False
        self.is_exact = True  # the cache holds what computing the tokens would give: not after a shift
        self.shared = 0  # how many of the first tokens other sequences may hold too
        self.follows: LiveAnswer | None = None  # computes a prefix that this one waits for
        self.reused = 0
        self.generated = 0
        self.constraint: Constraint | None = None
        self.speculation = Speculation() if request.options.speculate and request.options.grammar is None else None
        self.started = self.first_token = self.last_token = 0.0
        self._markers = {marker.encode("utf-8", "replace") for marker in request.options.markers}
        self._stops = StopMatcher(request.options.stop)
        self._detokenizer = IncrementalDetokenizer()
        self._unsent: list[int] = []
        self._logprobs: list[TokenLogprobs] = []
        self._text = ""

    @property
    def pending(self) -> int:
        """Tokens that are known and not computed; 1 while it generates."""
        return len(self.tokens) - self.computed

    @property
    def is_generating(self) -> bool:
        """True when its next step is one of a few tokens; a prompt of one token counts too."""
        return self.pending == 1 or (self.generated > 0 and self.pending <= _FEW)

    @property
    def may_not_end(self) -> bool:
        """True while no end token is allowed."""
        return self.generated < self.request.options.sampling.min_tokens

    @property
    def deadline(self) -> float | None:
        """When it ends, on the clock of time.monotonic."""
        seconds = self.request.options.deadline_s
        return None if seconds is None else self.request.created + seconds

    def accept(self, token: int, vocabulary: Vocabulary, n_context: int, now: float) -> FinishReason | None:
        """Take the next token. Returns why the answer ends with it, or None to go on."""
        params = self.request.options.sampling
        if self.generated == 0:
            self.first_token = now
        self.last_token = now
        self.generated += 1
        self._unsent.append(token)
        if params.logprobs is not None:
            self._logprobs.append(self.sampler.logprobs)
        if not params.ignore_eos and vocabulary.is_end(token):
            return "stop"
        self._text += self._stops.push(self._detokenizer.push(self._piece(token, vocabulary)))
        if self._stops.matched is not None:
            return "stop"
        if self.generated == params.max_tokens:
            return "length"
        if len(self.tokens) >= n_context and self.request.options.overflow != "shift":
            return "length"
        self.tokens.append(token)
        return None

    def _piece(self, token: int, vocabulary: Vocabulary) -> bytes:
        """What ``token`` adds to the text."""
        piece = vocabulary.piece(token)
        if piece or not self._markers:
            return piece
        marker = vocabulary.piece(token, special=True)
        return marker if marker in self._markers else b""

    def take_chunk(self) -> Chunk:
        """What came since the last chunk."""
        chunk = Chunk(self._text, tuple(self._unsent), None, None, None, tuple(self._logprobs), self.choice)
        self._text = ""
        self._unsent.clear()
        self._logprobs.clear()
        return chunk

    def last_chunk(self, reason: FinishReason) -> Chunk:
        """What was held back, with why the answer ends and the statistics."""
        stops = self._stops
        self._text += stops.push(self._detokenizer.finish()) + stops.finish()
        stats = GenerationStats(
            prompt_tokens=self.n_prompt,
            cached_tokens=self.reused,
            generated_tokens=self.generated,
            queue_s=self.started - self.request.created,
            prompt_s=(self.first_token or time.monotonic()) - self.started,
            decode_s=self.last_token - self.first_token,
            seed=self.sampler.seed,
            dropped_tokens=self.dropped,
            drafted_tokens=self.speculation.proposed if self.speculation is not None else 0,
            accepted_tokens=self.speculation.accepted if self.speculation is not None else 0,
        )
        return Chunk(self._text, tuple(self._unsent), reason, stops.matched, stats, tuple(self._logprobs), self.choice)

    def tokens_left(self, n_context: int) -> int:
        """How many tokens may follow the next one."""
        most = self.request.options.sampling.max_tokens
        room = n_context - len(self.tokens) - 1
        return room if most is None else min(room, most - self.generated - 1)

    def next_tokens(self, count: int) -> Sequence[int]:
        """The first ``count`` of the tokens that are not computed."""
        return self.tokens[self.computed : self.computed + count]
