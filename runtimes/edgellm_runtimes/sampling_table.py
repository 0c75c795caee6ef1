"""Every sampling parameter once: what it means and what it may be. The checks, the command line and the reference are
made from this table; the defaults are those of ``sampling.SamplingParams``."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["PARAMETERS", "SECTIONS", "Parameter"]

Kind = Literal["whole", "number", "flag", "word", "texts", "biases"]
Section = Literal["Sampling", "Repetition", "Tokens"]

SECTIONS: dict[Section, str] = {
    "Sampling": "Which tokens may be chosen.",
    "Repetition": "What was said before is less likely again.",
    "Tokens": "Single tokens.",
}

_LARGEST_COUNT = 2**31 - 1
_LONGEST_WINDOW = 2**24  # tokens
_SHORT: dict[float, str] = {_LARGEST_COUNT: "2^31-1", _LONGEST_WINDOW: "2^24", 2**63 - 1: "2^63-1"}


class Parameter(NamedTuple):
    """A field of SamplingParams. ``low`` and ``high`` are allowed themselves."""

    name: str
    section: Section
    kind: Kind
    meaning: str  # one line
    low: float = 0.0
    high: float = 0.0
    optional: bool = False  # may be None
    words: tuple[str, ...] = ()
    is_turned_off: bool = False  # a flag that is on unless said otherwise; then ``meaning`` is of the other way

    @property
    def values(self) -> str:
        """What is allowed, for people."""
        match self.kind:
            case "whole" | "number":
                return f"{self.low:g} to {_SHORT.get(self.high, f'{self.high:g}')}"
            case "flag":
                return "true, false"
            case "word":
                return ", ".join(self.words)
            case "texts":
                return "texts"
            case "biases":
                return "token=number"


def _table() -> tuple[Parameter, ...]:
    def number(section: Section, name: str, low: float, high: float, meaning: str) -> Parameter:
        return Parameter(name, section, "number", meaning, low, high)

    def whole(section: Section, name: str, low: int, high: int, meaning: str, optional: bool = False) -> Parameter:
        return Parameter(name, section, "whole", meaning, low, high, optional)

    sampling, repetition, tokens = SECTIONS
    return (
        whole(sampling, "max_tokens", 1, _LARGEST_COUNT, "Generate at most this many tokens.", optional=True),
        whole(sampling, "min_tokens", 0, _LARGEST_COUNT, "No end token before so many."),
        number(sampling, "temperature", 0.0, 100.0, "0 always takes the most likely token."),
        whole(sampling, "top_k", 0, _LARGEST_COUNT, "Sample among this many tokens; 0 is off."),
        number(sampling, "top_p", 0.0, 1.0, "Sample among the tokens that make up this probability; 1 is off."),
        number(sampling, "min_p", 0.0, 1.0, "Leave out tokens below this share of the likeliest one; 0 is off."),
        number(sampling, "typical_p", 0.0, 1.0, "Keep this probability of the least surprising tokens; 1 is off."),
        number(sampling, "top_n_sigma", 0.0, 1000.0, "Keep logits so many deviations below the best; 0 is off."),
        number(sampling, "xtc_probability", 0.0, 1.0, "How often the likeliest choices are dropped; 0 is off."),
        number(sampling, "xtc_threshold", 0.0, 1.0, "XTC drops tokens above this probability, but the last of them."),
        number(sampling, "dynamic_temperature_range", 0.0, 100.0, "Temperature +- this, by the entropy; 0 is off."),
        number(sampling, "dynamic_temperature_exponent", 0.0, 100.0, "How the entropy turns into temperature."),
        whole(sampling, "mirostat", 0, 2, "2 keeps the surprise even, in place of all truncation; 0 is off."),
        number(sampling, "mirostat_tau", 0.0, 100.0, "The surprise that Mirostat holds, in bits."),
        number(sampling, "mirostat_eta", 0.0, 1.0, "How fast Mirostat follows."),
        Parameter("order", sampling, "word", "Whose order of the stages.", words=("llama.cpp", "transformers", "vllm")),
        whole(sampling, "seed", 0, 2**63 - 1, "The same seed gives the same answer.", optional=True),
        number(repetition, "repetition_penalty", 0.01, 100.0, "Above 1 makes repeated tokens less likely."),
        number(repetition, "frequency_penalty", -2.0, 2.0, "Taken off a logit for each time its token was there."),
        number(repetition, "presence_penalty", -2.0, 2.0, "Taken off the logit of every token that was there."),
        whole(repetition, "repetition_window", -1, _LONGEST_WINDOW, "Tokens looked back on; -1 is all, 0 is off."),
        Parameter("penalize_prompt", repetition, "flag", "Tokens of the prompt do not count.", is_turned_off=True),
        number(repetition, "dry_multiplier", 0.0, 100.0, "Penalty for going on with a repeated sequence; 0 is off."),
        number(repetition, "dry_base", 1.0, 100.0, "The penalty grows so with each token of the sequence."),
        whole(repetition, "dry_allowed_length", 1, _LARGEST_COUNT, "Tokens that may repeat unpunished."),
        whole(repetition, "dry_window", -1, _LONGEST_WINDOW, "Tokens that DRY looks back on; -1 is all, 0 is off."),
        Parameter("dry_breakers", repetition, "texts", "DRY looks back no further than this text; may be repeated."),
        Parameter("logit_bias", tokens, "biases", "Add to a token's logit; -inf forbids it. May be repeated."),
        whole(tokens, "logprobs", 0, 1000, "Log-probabilities: the chosen token's and so many more.", optional=True),
        Parameter("logprob_scope", tokens, "word", "Before the stages, or after them.", words=("raw", "processed")),
        Parameter("ignore_eos", tokens, "flag", "Go on after an end token."),
    )


PARAMETERS = _table()
