"""llama-server's names of sampling parameters: read from requests, written into answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from edgellm.errors import UnsupportedError
from edgellm.server.dialects.llamacpp.requests import AdapterScale, CompletionBody
from edgellm_runtimes.sampling import ORDERS, SamplingParams
from edgellm_runtimes.sampling_table import PARAMETERS

__all__ = ["GenerationSettings", "SlotSettings", "generation_settings", "sampling_of", "slot_settings"]

RANDOM_SEED = 2**32 - 1  # what llama-server says where the seed was left to chance

# llama-server's name -> ours
_NAMES = {
    "temperature": "temperature",
    "dynatemp_range": "dynamic_temperature_range",
    "dynatemp_exponent": "dynamic_temperature_exponent",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "top_n_sigma": "top_n_sigma",
    "typical_p": "typical_p",
    "xtc_probability": "xtc_probability",
    "xtc_threshold": "xtc_threshold",
    "repeat_last_n": "repetition_window",
    "repeat_penalty": "repetition_penalty",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "dry_multiplier": "dry_multiplier",
    "dry_base": "dry_base",
    "dry_allowed_length": "dry_allowed_length",
    "dry_penalty_last_n": "dry_window",
    "dry_sequence_breakers": "dry_breakers",
    "mirostat": "mirostat",
    "mirostat_tau": "mirostat_tau",
    "mirostat_eta": "mirostat_eta",
    "ignore_eos": "ignore_eos",
}
# What llama-server moves into its range in silence; it refuses other values that are out of theirs, and so do we.
_CLAMPED = frozenset({"temperature", "top_k", "top_p", "min_p", "top_n_sigma", "xtc_probability", "xtc_threshold"})
_RANGES = {parameter.name: (parameter.low, parameter.high) for parameter in PARAMETERS}

_STAGES = {"typ_p": "typical_p", "typical": "typical_p", "temp": "temperature"}  # llama-server's other names
_LETTERS = {
    "d": "dry",
    "k": "top_k",
    "y": "typical_p",
    "p": "top_p",
    "s": "top_n_sigma",
    "m": "min_p",
    "t": "temperature",
    "x": "xtc",
    "e": "penalties",
}
_ORDER = ("penalties", "dry", *ORDERS["llama.cpp"])
_OFF: dict[str, dict[str, Any]] = {
    "penalties": {"repetition_penalty": 1.0, "frequency_penalty": 0.0, "presence_penalty": 0.0},
    "dry": {"dry_multiplier": 0.0},
    "top_n_sigma": {"top_n_sigma": 0.0},
    "top_k": {"top_k": 0},
    "typical_p": {"typical_p": 1.0},
    "top_p": {"top_p": 1.0},
    "min_p": {"min_p": 0.0},
    "xtc": {"xtc_probability": 0.0},
    "temperature": {"temperature": 1.0, "dynamic_temperature_range": 0.0},
}


def sampling_of(body: CompletionBody) -> dict[str, Any]:
    """The fields of SamplingParams that ``body`` names, without logit_bias, which needs the model's tokens.

    Raises UnsupportedError for an order of samplers other than llama.cpp's own.
    """
    found: dict[str, Any] = {}
    for name, ours in _NAMES.items():
        value = getattr(body, name)
        if value is not None:
            if name in _CLAMPED:
                low, high = _RANGES[ours]
                value = type(value)(min(max(value, low), high))
            found[ours] = value
    if body.seed is not None and body.seed >= 0 and body.seed != RANDOM_SEED:
        found["seed"] = body.seed
    most = next((n for n in (body.n_predict, body.max_completion_tokens, body.max_tokens) if n is not None), -1)
    if most >= 0:
        found["max_tokens"] = max(most, 1)  # 0 computes the prompt: the token that comes along is left out
    n_probs = body.n_probs or body.logprobs
    if n_probs:
        found["logprobs"] = n_probs
        found["logprob_scope"] = "processed" if body.post_sampling_probs else "raw"
    if body.samplers is not None:
        found |= _without_others(body.samplers)
    return found


def _without_others(samplers: str | Sequence[str]) -> dict[str, Any]:
    """What turns every sampler off that is not among ``samplers``."""
    named = [_LETTERS.get(letter, letter) for letter in samplers] if isinstance(samplers, str) else samplers
    chosen = [name for name in (_STAGES.get(name, name) for name in named) if name in _ORDER]  # it ignores others too
    if chosen != [name for name in _ORDER if name in chosen]:
        raise UnsupportedError(
            f"samplers in the order {', '.join(chosen)} are not available here",
            hint=f"the order is {', '.join(_ORDER)}; leave out what is not wanted",
        )
    return {name: value for stage in _ORDER if stage not in chosen for name, value in _OFF[stage].items()}


class SlotSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How an answer is made, without what may hold a user's text. In llama-server's names and order."""

    seed: int
    temperature: float
    dynatemp_range: float
    dynatemp_exponent: float
    top_k: int
    top_p: float
    min_p: float
    top_n_sigma: float
    xtc_probability: float
    xtc_threshold: float
    typical_p: float
    repeat_last_n: int
    repeat_penalty: float
    presence_penalty: float
    frequency_penalty: float
    dry_multiplier: float
    dry_base: float
    dry_allowed_length: int
    dry_penalty_last_n: int
    mirostat: int
    mirostat_tau: float
    mirostat_eta: float
    max_tokens: int
    n_predict: int
    n_keep: int
    ignore_eos: bool
    stream: bool
    n_probs: int
    min_keep: int
    timings_per_token: bool
    post_sampling_probs: bool
    samplers: tuple[str, ...]
    lora: tuple[AdapterScale, ...]
    n_discard: int = 0
    adaptive_target: float = -1.0
    adaptive_decay: float = 0.9
    chat_format: str = "Content-only"
    reasoning_format: str = "none"
    reasoning_in_content: bool = False
    generation_prompt: str = ""
    speculative_types: str = msgspec.field(name="speculative.types", default="none")
    backend_sampling: bool = False


class GenerationSettings(SlotSettings, frozen=True, kw_only=True):
    """How an answer is made."""

    dry_sequence_breakers: tuple[str, ...]
    stop: tuple[str, ...]
    logit_bias: tuple[dict[str, Any], ...]
    grammar: str
    grammar_lazy: bool = False
    grammar_triggers: tuple[str, ...] = ()
    preserved_tokens: tuple[int, ...] = ()


def slot_settings(body: CompletionBody, params: SamplingParams) -> SlotSettings:
    """The settings of an answer to ``body`` made with ``params``."""
    return SlotSettings(**_shared(body, params))


def generation_settings(body: CompletionBody, params: SamplingParams, stop: tuple[str, ...]) -> GenerationSettings:
    """Likewise, with all texts."""
    bias = ({"bias": None if value == -math.inf else value, "token": at} for at, value in params.logit_bias.items())
    return GenerationSettings(
        **_shared(body, params),
        dry_sequence_breakers=params.dry_breakers,
        stop=stop,
        logit_bias=tuple(bias),
        grammar=body.grammar or "",
    )


def _shared(body: CompletionBody, params: SamplingParams) -> dict[str, Any]:
    values = {name: getattr(params, ours) for name, ours in _NAMES.items() if name in SlotSettings.__struct_fields__}
    most = -1 if params.max_tokens is None else params.max_tokens
    return values | {
        "seed": RANDOM_SEED if params.seed is None else params.seed,
        "max_tokens": most,
        "n_predict": most,
        "n_keep": body.n_keep or 0,
        "stream": bool(body.stream),
        "n_probs": params.logprobs or 0,
        "min_keep": body.min_keep or 0,
        "timings_per_token": bool(body.timings_per_token),
        "post_sampling_probs": bool(body.post_sampling_probs),
        "samplers": tuple("typ_p" if name == "typical_p" else name for name in _ORDER),
        "lora": body.lora or (),
    }
