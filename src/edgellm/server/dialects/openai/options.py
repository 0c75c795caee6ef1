"""How an answer is made, as requests to several of OpenAI's routes say it; with the extras that others have added."""

from __future__ import annotations

from typing import Any

import msgspec

from edgellm.errors import UsageError
from edgellm.server.generation.request import AnswerOptions
from edgellm_runtimes.generation import AdapterUse, Overflow
from edgellm_runtimes.grammar import Grammar
from edgellm_runtimes.sampling import SamplingParams

__all__ = ["AdapterName", "GenerationFields", "StreamOptions", "answer_options"]

_SEEDS = 2**63


class StreamOptions(msgspec.Struct):
    """``include_usage``: a last chunk that has no choices tells the usage."""

    include_usage: bool = False


class AdapterName(msgspec.Struct):
    """A LoRA adapter of the model, and how strongly it counts."""

    name: str
    scale: float = 1.0


class GenerationFields(msgspec.Struct, kw_only=True):
    """What requests for text have in common. Those behind ``user`` are no part of OpenAI's API: names are vLLM's where
    it has them, else our own."""

    model: str
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    n: int | None = None
    stop: str | list[str] | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[int, float] | None = None
    user: str | None = None

    top_k: int | None = None
    min_p: float | None = None
    typical_p: float | None = None
    top_n_sigma: float | None = None
    xtc_probability: float | None = None
    xtc_threshold: float | None = None
    dynamic_temperature_range: float | None = None
    dynamic_temperature_exponent: float | None = None
    mirostat: int | None = None
    mirostat_tau: float | None = None
    mirostat_eta: float | None = None
    repetition_penalty: float | None = None
    repetition_window: int | None = None
    penalize_prompt: bool | None = None
    dry_multiplier: float | None = None
    dry_base: float | None = None
    dry_allowed_length: int | None = None
    dry_window: int | None = None
    dry_breakers: tuple[str, ...] | None = None
    order: str | None = None
    min_tokens: int | None = None
    ignore_eos: bool | None = None
    regex: str | None = None
    grammar: str | None = None
    deadline_s: float | None = None
    overflow: Overflow = "error"
    keep: int = 0
    adapters: tuple[AdapterName, ...] = ()
    keep_alive: float | None = None


_SAMPLING = frozenset(GenerationFields.__struct_fields__) & frozenset(SamplingParams.__struct_fields__)


def answer_options(
    fields: GenerationFields,
    *,
    max_tokens: int | None,
    logprobs: int | None,
    grammar: Grammar | None,
    scope: str,
) -> AnswerOptions:
    """The options that ``fields`` ask for. Raises UsageError for two grammars at once, and values that are off."""
    sampling: dict[str, Any] = {name: value for name in _SAMPLING if (value := getattr(fields, name)) is not None}
    if fields.seed is not None:
        sampling["seed"] = fields.seed % _SEEDS
    if fields.top_k == -1:  # off, as vLLM says it
        sampling["top_k"] = 0
    return AnswerOptions(
        sampling=sampling | _given(max_tokens=max_tokens, logprobs=logprobs),
        stop=(fields.stop,) if isinstance(fields.stop, str) else tuple(fields.stop or ()),
        choices=1 if fields.n is None else fields.n,
        deadline_s=fields.deadline_s,
        overflow=fields.overflow,
        keep=fields.keep,
        grammar=_one_grammar(fields, grammar),
        adapters=tuple(AdapterUse(adapter.name, adapter.scale) for adapter in fields.adapters),
        scope=scope,
    )


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _one_grammar(fields: GenerationFields, wanted: Grammar | None) -> Grammar | None:
    grammars = [wanted] if wanted is not None else []
    if fields.regex is not None:
        grammars.append(Grammar("regex", fields.regex))
    if fields.grammar is not None:
        grammars.append(Grammar("gbnf", fields.grammar))
    if len(grammars) > 1:
        raise UsageError("an answer can have one format: a response_format, a regex or a grammar")
    return grammars[0] if grammars else None
