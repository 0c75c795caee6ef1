"""How the next token is chosen: the parameters of a request, checked in one place."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from edgellm.bundle.plan import SamplingDefaults
from edgellm.errors import UsageError
from edgellm_runtimes.sampling_table import PARAMETERS, Parameter

__all__ = ["ORDERS", "SamplingParams", "sampling_params"]

Order = Literal["llama.cpp", "transformers", "vllm"]
Scope = Literal["raw", "processed"]

ORDERS: dict[str, tuple[str, ...]] = {
    "llama.cpp": ("top_n_sigma", "top_k", "typical_p", "top_p", "min_p", "xtc", "temperature"),
    "transformers": ("temperature", "top_n_sigma", "top_k", "top_p", "min_p", "typical_p", "xtc"),
    "vllm": ("temperature", "top_n_sigma", "min_p", "top_k", "top_p", "typical_p", "xtc"),
}
"""The stages in the order in which each of these programs applies them; those that it lacks stand where they fit."""


_LARGEST_TOKEN = 2**31 - 1
_BIASES = 4096
_LARGEST_BIAS = 1_000_000
_BREAKERS = 64
_BREAKER_BYTES = 40  # what llama.cpp looks at


class SamplingParams(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters of one generation, checked when made: UsageError names the field, its value and the range.
    ``sampling_table`` says what each means.

    First logit_bias, the penalties and DRY change logits; then the stages of ``order`` apply; then a token is drawn. At
    temperature 0 the most likely token is taken instead, and neither stages nor seed play a part. With mirostat 2 the
    stages are temperature and Mirostat's own truncation (Basu et al., ICLR 2021). The penalties look at the last
    ``repetition_window`` tokens.
    """

    max_tokens: int | None = None  # None: until the context is full
    min_tokens: int = 0  # stop strings end an answer all the same
    temperature: float = 0.8
    dynamic_temperature_range: float = 0.0
    dynamic_temperature_exponent: float = 1.0
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    typical_p: float = 1.0
    top_n_sigma: float = 0.0
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1  # above 0.5 turns XTC off
    mirostat: int = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    repetition_penalty: float = 1.0
    repetition_window: int = 64
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    penalize_prompt: bool = True
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_window: int = -1
    dry_breakers: tuple[str, ...] = ("\n", ":", '"', "*")
    logit_bias: dict[int, float] = {}
    logprobs: int | None = None
    logprob_scope: Scope = "raw"
    order: Order = "llama.cpp"
    seed: int | None = None  # None: a new one each time, reported with the result
    ignore_eos: bool = False

    def __post_init__(self) -> None:
        for parameter in PARAMETERS:
            _CHECKS[parameter.kind](parameter, getattr(self, parameter.name))
        if self.mirostat == 1:
            raise UsageError(
                "mirostat is 1; it must be 0 (off) or 2", hint="version 1 approximates what version 2 does"
            )

    @property
    def has_penalties(self) -> bool:
        """True when the penalties change anything."""
        return self.repetition_window != 0 and (
            self.repetition_penalty != 1.0 or self.frequency_penalty != 0.0 or self.presence_penalty != 0.0
        )


def _check_number(parameter: Parameter, value: object) -> None:
    if value is None and parameter.optional:
        return
    is_whole = parameter.kind == "whole"
    is_right = isinstance(value, int if is_whole else (int, float)) and not isinstance(value, bool)
    if not is_right or not parameter.low <= value <= parameter.high:  # type: ignore[operator]  # NaN is in no range
        kind = "a whole number" if is_whole else "a number"
        raise UsageError(
            f"{parameter.name} is {_shown(value)}; it must be {kind} from {parameter.low} to {parameter.high}"
        )


def _check_flag(parameter: Parameter, value: object) -> None:
    if not isinstance(value, bool):
        raise UsageError(f"{parameter.name} is {value!r}; it must be true or false")


def _shown(value: object) -> str:
    """``value`` for a message; Python has no text for integers of many digits."""
    return "far too large" if isinstance(value, int) and abs(value) >= 10**40 else repr(value)


def _check_word(parameter: Parameter, value: object) -> None:
    if value not in parameter.words:
        raise UsageError(f"{parameter.name} is {value!r}; it must be one of {', '.join(parameter.words)}")


def _check_biases(_parameter: Parameter, bias: object) -> None:
    if not isinstance(bias, dict) or len(bias) > _BIASES:
        raise UsageError(f"logit_bias must map at most {_BIASES} token ids to numbers")
    for token, value in bias.items():
        if isinstance(token, bool) or not isinstance(token, int) or not 0 <= token <= _LARGEST_TOKEN:
            raise UsageError(f"logit_bias has {_shown(token)}, which is no token id")
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise UsageError(f"logit_bias of token {token} is {value!r}; it must be a number, or -inf to forbid it")
        if not -_LARGEST_BIAS <= value <= _LARGEST_BIAS and value != -math.inf:
            allowed = f"from {-_LARGEST_BIAS} to {_LARGEST_BIAS}, or -inf to forbid it"
            raise UsageError(f"logit_bias of token {token} is {_shown(value)}; it must be {allowed}")


def _check_texts(_parameter: Parameter, breakers: object) -> None:
    if not isinstance(breakers, tuple) or len(breakers) > _BREAKERS or not all(map(_is_breaker, breakers)):
        raise UsageError(f"dry_breakers must be at most {_BREAKERS} texts of 1 to {_BREAKER_BYTES} bytes")


def _is_breaker(text: object) -> bool:
    try:
        return isinstance(text, str) and 0 < len(text.encode("utf-8")) <= _BREAKER_BYTES
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


_CHECKS: dict[str, Callable[[Parameter, object], None]] = {
    "whole": _check_number,
    "number": _check_number,
    "flag": _check_flag,
    "word": _check_word,
    "biases": _check_biases,
    "texts": _check_texts,
}


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
