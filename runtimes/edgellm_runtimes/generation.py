"""What a generation is asked for and what it gives."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

from edgellm.errors import EdgeLLMError
from edgellm_runtimes.detokenizer import StopMatcher
from edgellm_runtimes.sampler import TokenLogprobs
from edgellm_runtimes.sampling import SamplingParams

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Chunk", "FinishReason", "GenerationStats", "Request"]

FinishReason = Literal["stop", "length"]


class GenerationStats(msgspec.Struct, frozen=True):
    """Counts and times of one generation. Times are wall-clock seconds."""

    prompt_tokens: int
    cached_tokens: int  # of the prompt, not computed again
    generated_tokens: int
    queue_s: float  # waiting for its turn
    prompt_s: float  # until the first token was chosen
    decode_s: float  # from the first token to the last
    seed: int

    @property
    def prompt_tokens_per_s(self) -> float:
        """Prefill speed over the tokens that were computed; 0 when unknown."""
        return (self.prompt_tokens - self.cached_tokens) / self.prompt_s if self.prompt_s > 0 else 0.0

    @property
    def decode_tokens_per_s(self) -> float:
        """Decode speed; 0 with fewer than two tokens."""
        return (self.generated_tokens - 1) / self.decode_s if self.decode_s > 0 and self.generated_tokens > 1 else 0.0


class Chunk(msgspec.Struct, frozen=True):
    """A piece of a generation: new text with the tokens that it came from. The last one has a finish reason.

    ``text`` may be empty while a character or a possible stop string is incomplete; then ``token_ids`` tells progress.
    ``logprobs`` has one entry for each of ``token_ids`` where the parameters ask for them.
    """

    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason | None = None
    stop_string: str | None = None  # the stop string that ended it
    stats: GenerationStats | None = None  # with the finish reason
    logprobs: tuple[TokenLogprobs, ...] = ()


class Request:
    """One generation in the scheduler's hands. ``emit`` is called from the decode thread with chunks or one error."""

    def __init__(
        self,
        prompt: Sequence[int],
        params: SamplingParams,
        stops: Iterable[str],
        emit: Callable[[Chunk | EdgeLLMError], None],
    ) -> None:
        self.prompt = prompt
        self.params = params
        self.stops = StopMatcher(stops)
        self.emit = emit
        self.created = time.monotonic()
        self.cancelled = False
