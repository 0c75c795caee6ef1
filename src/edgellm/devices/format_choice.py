"""GGUF or ONNX: decided by what was measured on the device or is published for it, never by belief.

The usual request is a prompt of 512 tokens and an answer of 256. ONNX is taken where it needs at most 1 / 1.05 of the
time for that, at about the same quality, with as much context. The evidence, in this order:

1. `edgellm bench` on this machine, when the device is this machine: both recipes that `auto` would take, measured in
   turn in one run, of a model of the same sizes.
2. What the profile says, with its source, of ONNX Runtime against llama.cpp on such a device.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from edgellm.devices.benched import BenchedModel, model_sizes
from edgellm.devices.choice import Choice
from edgellm.devices.model import ModelShape
from edgellm.devices.profile import Profile
from edgellm.devices.quality import quality_loss
from edgellm.units import format_count

__all__ = ["ANSWER_TOKENS", "PROMPT_TOKENS", "FormatVerdict", "choose_format", "may_be_onnx"]

PROMPT_TOKENS, ANSWER_TOKENS = 512, 256
_SHORTEST_PROMPT = PROMPT_TOKENS // 2  # a measurement with less says little about such a request
_WORTH_IT = 1.05
_EQUAL_QUALITY = 0.15  # of perplexity: Q4_K_M and INT4_128_M are alike, Q8_0 and a recipe of 4 bits are not
_REQUEST = f"{PROMPT_TOKENS} tokens of prompt and {ANSWER_TOKENS} of answer"


class FormatVerdict(msgspec.Struct, frozen=True):
    """Which format, and why."""

    format: Literal["gguf", "onnx"]
    why: str
    basis: Literal["measured", "published", "unknown"]


def may_be_onnx(benched: Sequence[BenchedModel], profile: Profile) -> bool:
    """False where nothing could speak for ONNX, whatever the model."""
    return profile.perf.onnx is not None or any(one.format == "onnx" for one in benched)


def choose_format(
    shape: ModelShape,
    gguf: Choice,
    onnx: Choice | None,
    profile: Profile,
    benched: Sequence[BenchedModel] = (),
) -> FormatVerdict:
    """The format for the model of ``shape`` (of either format), for which `auto` takes ``gguf`` and ``onnx``.

    ``onnx`` is None where the model cannot become one, or does not fit. ``benched`` is what was measured on the device.
    """
    if onnx is None:
        return FormatVerdict("gguf", "GGUF: the model cannot become ONNX here.", "unknown")
    if shape.is_encoder:
        return FormatVerdict(
            "gguf",
            "GGUF: formats are compared by answers, and an encoder gives none (--format onnx decides otherwise).",
            "unknown",
        )
    recipes = {"gguf": gguf.recipe, "onnx": onnx.recipe}
    pair = _last_pair(benched, model_sizes(shape), recipes)
    if pair is not None:
        many = min(gguf.settings.sequences, onnx.settings.sequences, pair[0].streams) > 1
        said = f"Measured here on {pair[0].date}, {f'{pair[0].streams} conversations at once' if many else 'alone'}:"
        return _judge(gguf, onnx, _measured_seconds(pair, many), said, "measured")
    if profile.perf.onnx is not None:
        largest = profile.perf.onnx.largest_model
        if shape.n_parameters > largest:
            why = (
                f"GGUF: what is known of ONNX Runtime on {profile.name} holds for models of up to "
                f"{format_count(largest)} weights."
            )
            return FormatVerdict("gguf", why, "published")
        said = f"By {profile.perf.onnx.decode.source}:"
        return _judge(gguf, onnx, _published_seconds(profile, gguf), said, "published")
    return FormatVerdict("gguf", _unknown(benched, recipes), "unknown")


def _judge(
    gguf: Choice,
    onnx: Choice,
    seconds: tuple[float, float],
    said: str,
    basis: Literal["measured", "published"],
) -> FormatVerdict:
    """``seconds`` of the usual request: GGUF's and ONNX's."""
    share = seconds[1] / seconds[0]
    compared = (
        f"{said} {_REQUEST} take {share:.2f} times as long with ONNX ({onnx.recipe}) as with GGUF ({gguf.recipe})"
    )
    if share * _WORTH_IT > 1:
        return FormatVerdict("gguf", f"GGUF. {compared}.", basis)
    if quality_loss(onnx.recipe) - quality_loss(gguf.recipe) > _EQUAL_QUALITY:
        return FormatVerdict("gguf", f"GGUF. {compared}, but {onnx.recipe} loses more quality.", basis)
    if onnx.estimate.verdict != "fits" and gguf.estimate.verdict == "fits":
        return FormatVerdict("gguf", f"GGUF. {compared}, but its memory is tight.", basis)
    if onnx.settings.context < gguf.settings.context:
        context = f"leaves memory for {onnx.settings.context} tokens of context instead of {gguf.settings.context}"
        return FormatVerdict("gguf", f"GGUF. {compared}, but it {context}.", basis)
    if onnx.settings.sequences < gguf.settings.sequences:
        many = f"leaves memory for {onnx.settings.sequences} at once instead of {gguf.settings.sequences}"
        return FormatVerdict("gguf", f"GGUF. {compared}, but it {many}.", basis)
    return FormatVerdict("onnx", f"ONNX. {compared}.", basis)


def _last_pair(
    benched: Sequence[BenchedModel], sizes: str, recipes: dict[str, str]
) -> tuple[BenchedModel, BenchedModel] | None:
    """The GGUF and the ONNX model of the last run that measured both."""
    runs: dict[str, dict[str, BenchedModel]] = {}
    for one in benched:
        if one.sizes == sizes and one.recipe == recipes[one.format] and one.prompt_tokens >= _SHORTEST_PROMPT:
            runs.setdefault(one.run, {})[one.format] = one
    both = [(run, pair) for run, pair in runs.items() if len(pair) == len(recipes)]
    if not both:
        return None
    _run, pair = max(both, key=lambda entry: entry[0])
    return pair["gguf"], pair["onnx"]


def _measured_seconds(pair: tuple[BenchedModel, BenchedModel], many: bool) -> tuple[float, float]:
    """With ``many`` conversations at once the time that each of them takes of the machine."""
    first, second = (
        PROMPT_TOKENS / one.prefill + ANSWER_TOKENS / (one.together if many else one.decode) for one in pair
    )
    return first, second


def _published_seconds(profile: Profile, gguf: Choice) -> tuple[float, float]:
    """From the ratios, the careful ends of them, and the predicted speed of the GGUF: equal halves without one."""
    onnx, estimate = profile.perf.onnx, gguf.estimate
    assert onnx is not None
    prompt_s = answer_s = 1.0
    if estimate.prefill is not None and estimate.decode is not None:
        prompt_s, answer_s = PROMPT_TOKENS / estimate.prefill.middle, ANSWER_TOKENS / estimate.decode.middle
    return prompt_s + answer_s, prompt_s / onnx.prefill.minimum + answer_s / onnx.decode.minimum


def _unknown(benched: Sequence[BenchedModel], recipes: dict[str, str]) -> str:
    what = f"{recipes['gguf']} against {recipes['onnx']} of a model of these sizes"
    if any(one.format == "onnx" for one in benched):
        return f"GGUF: `edgellm bench` has not measured {what} in one run."
    return f"GGUF: nothing measured says that ONNX is faster there (`edgellm bench` would compare {what})."
