"""How the next token is chosen: the parameters of a request, checked in one place."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple, get_args

import msgspec

from edgellm.bundle.plan import SamplingDefaults
from edgellm.errors import UsageError

__all__ = ["ORDERS", "SamplingParams", "sampling_params"]

Order = Literal["llama.cpp", "transformers", "vllm"]
Scope = Literal["raw", "processed"]

ORDERS: dict[str, tuple[str, ...]] = {
    "llama.cpp": ("top_n_sigma", "top_k", "typical_p", "top_p", "min_p", "xtc", "temperature"),
    "transformers": ("temperature", "top_n_sigma", "top_k", "top_p", "min_p", "typical_p", "xtc"),
    "vllm": ("temperature", "top_n_sigma", "min_p", "top_k", "top_p", "typical_p", "xtc"),
}
"""The stages in the order in which each of these programs applies them; those that it lacks stand where they fit."""


class _Range(NamedTuple):
    low: float
    high: float
    whole: bool = False
    optional: bool = False


_LARGEST_COUNT = 2**31 - 1
_LONGEST_WINDOW = 2**24  # tokens
_BIASES = 4096
_BREAKERS = 64
_BREAKER_BYTES = 40  # what llama.cpp looks at
_RANGES = {
    "max_tokens": _Range(1, _LARGEST_COUNT, whole=True, optional=True),
    "temperature": _Range(0.0, 100.0),
    "dynamic_temperature_range": _Range(0.0, 100.0),
    "dynamic_temperature_exponent": _Range(0.0, 100.0),
    "top_k": _Range(0, _LARGEST_COUNT, whole=True),
    "top_p": _Range(0.0, 1.0),
    "min_p": _Range(0.0, 1.0),
    "typical_p": _Range(0.0, 1.0),
    "top_n_sigma": _Range(0.0, 1000.0),
    "xtc_probability": _Range(0.0, 1.0),
    "xtc_threshold": _Range(0.0, 1.0),
    "mirostat": _Range(0, 2, whole=True),
    "mirostat_tau": _Range(0.0, 100.0),
    "mirostat_eta": _Range(0.0, 1.0),
    "repetition_penalty": _Range(0.01, 100.0),
    "repetition_window": _Range(-1, _LONGEST_WINDOW, whole=True),
    "frequency_penalty": _Range(-2.0, 2.0),
    "presence_penalty": _Range(-2.0, 2.0),
    "dry_multiplier": _Range(0.0, 100.0),
    "dry_base": _Range(1.0, 100.0),
    "dry_allowed_length": _Range(1, _LARGEST_COUNT, whole=True),
    "dry_window": _Range(-1, _LONGEST_WINDOW, whole=True),
    "logprobs": _Range(0, 1000, whole=True, optional=True),
    "seed": _Range(0, 2**63 - 1, whole=True, optional=True),
}
_FLAGS = ("ignore_eos", "penalize_prompt")


class SamplingParams(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters of one generation, checked when made: UsageError names the field, its value and the range.

    First logit_bias, the penalties and DRY change logits; then the stages of ``order`` apply; then a token is drawn. At
    temperature 0 the most likely token is taken instead, and neither stages nor seed play a part. With mirostat 2 the
    stages are temperature and Mirostat's own truncation (Basu et al., ICLR 2021). The penalties look at the last
    ``repetition_window`` tokens.
    """

    max_tokens: int | None = None  # None: until the context is full
    temperature: float = 0.8
    dynamic_temperature_range: float = 0.0  # temperature +- this, by the entropy; 0 turns it off
    dynamic_temperature_exponent: float = 1.0
    top_k: int = 40  # 0 turns it off
    top_p: float = 0.95  # 1 turns it off
    min_p: float = 0.05  # 0 turns it off
    typical_p: float = 1.0  # 1 turns it off
    top_n_sigma: float = 0.0  # standard deviations below the best logit; 0 turns it off
    xtc_probability: float = 0.0  # how often the likeliest choices are dropped; 0 turns it off
    xtc_threshold: float = 0.1  # above 0.5 turns it off
    mirostat: int = 0  # 0, or 2 for Mirostat 2.0
    mirostat_tau: float = 5.0  # surprise to hold, bits
    mirostat_eta: float = 0.1
    repetition_penalty: float = 1.0  # 1 turns it off
    repetition_window: int = 64  # tokens; -1 is all of them, 0 turns the penalties off
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    penalize_prompt: bool = True  # false: only generated tokens count
    dry_multiplier: float = 0.0  # 0 turns it off
    dry_base: float = 1.75
    dry_allowed_length: int = 2  # tokens that may repeat
    dry_window: int = -1  # tokens; -1 is all of them
    dry_breakers: tuple[str, ...] = ("\n", ":", '"', "*")  # texts across which nothing counts as repeated
    logit_bias: dict[int, float] = {}  # token -> what is added to its logit
    logprobs: int | None = None  # report the chosen token's log-probability, and those of so many of the likeliest
    logprob_scope: Scope = "raw"  # of the logits as the model gave them, or of what the stages left
    order: Order = "llama.cpp"
    seed: int | None = None  # None: a new one each time, reported with the result
    ignore_eos: bool = False  # go on after an end token

    def __post_init__(self) -> None:
        for name, allowed in _RANGES.items():
            _check(name, getattr(self, name), allowed)
        for name in _FLAGS:
            if not isinstance(getattr(self, name), bool):
                raise UsageError(f"{name} is {getattr(self, name)!r}; it must be true or false")
        if self.mirostat == 1:
            raise UsageError(
                "mirostat is 1; it must be 0 (off) or 2", hint="version 1 approximates what version 2 does"
            )
        _check_word("order", self.order, get_args(Order))
        _check_word("logprob_scope", self.logprob_scope, get_args(Scope))
        _check_bias(self.logit_bias)
        _check_breakers(self.dry_breakers)

    @property
    def has_penalties(self) -> bool:
        """True when the penalties change anything."""
        return self.repetition_window != 0 and (
            self.repetition_penalty != 1.0 or self.frequency_penalty != 0.0 or self.presence_penalty != 0.0
        )


def _check(name: str, value: object, allowed: _Range) -> None:
    if value is None and allowed.optional:
        return
    kinds = (int,) if allowed.whole else (int, float)
    kind = "a whole number" if allowed.whole else "a number"
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise UsageError(f"{name} is {value!r}; it must be {kind} from {allowed.low} to {allowed.high}")
    if not math.isfinite(value) or not allowed.low <= value <= allowed.high:
        raise UsageError(f"{name} is {value}; it must be {kind} from {allowed.low} to {allowed.high}")


def _check_word(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UsageError(f"{name} is {value!r}; it must be one of {', '.join(allowed)}")


def _check_bias(bias: object) -> None:
    if not isinstance(bias, dict) or len(bias) > _BIASES:
        raise UsageError(f"logit_bias must map at most {_BIASES} token ids to numbers")
    for token, value in bias.items():
        if isinstance(token, bool) or not isinstance(token, int) or not 0 <= token <= _LARGEST_COUNT:
            raise UsageError(f"logit_bias has {token!r}, which is no token id")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value) or value == math.inf:
            raise UsageError(f"logit_bias of token {token} is {value!r}; it must be a number, or -inf to forbid it")
        if abs(value) > 1e6 and value != -math.inf:
            raise UsageError(f"logit_bias of token {token} is {value}; it must be from -1000000 to 1000000, or -inf")


def _check_breakers(breakers: object) -> None:
    if (
        not isinstance(breakers, tuple)
        or len(breakers) > _BREAKERS
        or not all(
            isinstance(text, str) and 0 < len(text.encode("utf-8", "replace")) <= _BREAKER_BYTES for text in breakers
        )
    ):
        raise UsageError(f"dry_breakers must be at most {_BREAKERS} texts of 1 to {_BREAKER_BYTES} bytes")


def sampling_params(defaults: SamplingDefaults | None, **chosen: Any) -> SamplingParams:
    """Parameters from what was ``chosen`` (None is not chosen), then the model's ``defaults``, then ours.

    A model that states any of top_k, top_p or min_p gets exactly its own filters: ours are not added to them.
    Raises UsageError.
    """
    values: dict[str, Any] = {}
    if defaults is not None:
        values = {name: value for name, value in msgspec.structs.asdict(defaults).items() if value is not None}
        if values.keys() & {"top_k", "top_p", "min_p"}:
            values = {"top_k": 0, "top_p": 1.0, "min_p": 0.0} | values
    values |= {name: value for name, value in chosen.items() if value is not None}
    unknown = values.keys() - set(SamplingParams.__struct_fields__)
    if unknown:
        raise UsageError(f"unknown sampling parameter {sorted(unknown)[0]!r}")
    return SamplingParams(**values)
