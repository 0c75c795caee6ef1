"""What a generation is asked for and what it gives."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Literal, get_args

import msgspec

from edgellm.errors import UsageError
from edgellm_runtimes.detokenizer import StopMatcher
from edgellm_runtimes.grammar import Grammar
from edgellm_runtimes.sampler import TokenLogprobs
from edgellm_runtimes.sampling import SamplingParams

__all__ = [
    "AdapterUse",
    "Chunk",
    "FinishReason",
    "GenerationOptions",
    "GenerationStats",
    "Overflow",
    "Request",
    "check_adapters",
]

FinishReason = Literal["stop", "length", "deadline"]
Overflow = Literal["error", "truncate", "shift"]

_MOST_CHOICES = 64
_LONGEST_DEADLINE_S = 7 * 24 * 3600.0
_MOST_ADAPTERS = 16
_LONGEST_SCOPE = 256
_MOST_MARKERS = 64
_LARGEST_SCALE = 100.0


class AdapterUse(msgspec.Struct, frozen=True):
    """A LoRA adapter of the bundle, and how strongly it counts."""

    name: str
    scale: float = 1.0


class GenerationOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one generation besides its prompt. Raises UsageError where a value is off.

    With ``overflow`` "error" a prompt that does not fit the context is refused and an answer that reaches its end stops
    with "length". "truncate" takes tokens out of a prompt that is too long, "shift" does so during the answer too; both
    keep the first ``keep`` tokens and the newest ones.
    """

    sampling: SamplingParams = msgspec.field(default_factory=SamplingParams)
    stop: tuple[str, ...] = ()
    choices: int = 1  # answers to the same prompt; choice i is drawn with seed + i
    deadline_s: float | None = None  # from now; what is there by then is the answer
    overflow: Overflow = "error"
    keep: int = 0  # tokens at the start of the prompt that no overflow removes
    grammar: Grammar | None = None
    adapters: tuple[AdapterUse, ...] = ()
    scope: str = ""  # who may reuse the prefixes that this request computes: requests of the same scope
    save: bool = False  # keep the conversation on disk too, where the engine was told to
    markers: tuple[str, ...] = ()  # control tokens that are part of the text, which leaves out all others
    speculate: bool = True  # propose tokens from the text so far, where that pays; never changes the distribution

    def __post_init__(self) -> None:
        if not 1 <= self.choices <= _MOST_CHOICES:
            raise UsageError(f"choices is {self.choices}; it must be 1 to {_MOST_CHOICES}")
        if self.deadline_s is not None and not 0 < self.deadline_s <= _LONGEST_DEADLINE_S:
            raise UsageError(f"deadline_s is {self.deadline_s}; it must be above 0 and at most {_LONGEST_DEADLINE_S}")
        if self.overflow not in get_args(Overflow):
            raise UsageError(f"overflow is {self.overflow!r}; it must be one of {', '.join(get_args(Overflow))}")
        if self.keep < 0:
            raise UsageError(f"keep is {self.keep}; it must be 0 or more")
        if len(self.scope) > _LONGEST_SCOPE:
            raise UsageError(f"the scope has {len(self.scope)} characters; at most {_LONGEST_SCOPE} are possible")
        if len(self.markers) > _MOST_MARKERS:
            raise UsageError(f"{len(self.markers)} markers were given; at most {_MOST_MARKERS} are possible")
        check_adapters(self.adapters)


def check_adapters(uses: Sequence[AdapterUse]) -> None:
    """Raise UsageError for more adapters than a request may have, and for impossible scales."""
    if len(uses) > _MOST_ADAPTERS:
        raise UsageError(f"{len(uses)} adapters were asked for; at most {_MOST_ADAPTERS} are possible")
    for use in uses:
        if not -_LARGEST_SCALE <= use.scale <= _LARGEST_SCALE:
            raise UsageError(f"the scale of adapter {use.name!r} is {use.scale}; it must be -100 to 100")


class GenerationStats(msgspec.Struct, frozen=True):
    """Counts and times of one generation. Times are wall-clock seconds."""

    prompt_tokens: int
    cached_tokens: int  # of the prompt, not computed again
    generated_tokens: int
    queue_s: float  # waiting for its turn
    prompt_s: float  # until the first token was chosen
    decode_s: float  # from the first token to the last
    seed: int
    dropped_tokens: int = 0  # taken out because the context was too small
    drafted_tokens: int = 0  # proposed from the text so far, of which
    accepted_tokens: int = 0  # the model chose so many too

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
    choice: int = 0  # which of the answers to the prompt


class Request:
    """One prompt on its way to a scheduler. ``id`` names it in what the scheduler delivers.

    Raises UsageError for stop strings that are empty, too long or too many.
    """

    def __init__(self, id: int, prompt: Sequence[int], options: GenerationOptions) -> None:
        StopMatcher(options.stop)
        self.id = id
        self.prompt = prompt
        self.options = options
        self.created = time.monotonic()
