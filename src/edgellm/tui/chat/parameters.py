"""The parameters of answers, as people type them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from edgellm.errors import UsageError
from edgellm_runtimes.sampling import SamplingParams
from edgellm_runtimes.sampling_table import PARAMETERS, Parameter

__all__ = ["CHAT_PARAMETERS", "default_of", "parameter", "read_value", "sampling_for_server", "shown_value"]

CHAT_PARAMETERS = tuple(each for each in PARAMETERS if each.name not in ("logprobs", "logprob_scope"))
"""Those that a conversation has; log-probabilities are for programs."""

_BY_NAME = {each.name: each for each in CHAT_PARAMETERS}
_DEFAULTS = msgspec.structs.asdict(SamplingParams())
_FLAGS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def parameter(name: str) -> Parameter:
    """The parameter called ``name``, with - or _. Raises UsageError."""
    found = _BY_NAME.get(name.strip().lower().replace("-", "_"))
    if found is None:
        import difflib

        near = difflib.get_close_matches(name, _BY_NAME, n=1)
        hint = f"did you mean {near[0]}?" if near else "/set alone lists them"
        raise UsageError(f"there is no parameter {name[:60]!r}", hint=hint)
    return found


def default_of(wanted: Parameter) -> Any:
    """What counts where neither the conversation nor the model says anything."""
    return _DEFAULTS[wanted.name]


def read_value(wanted: Parameter, text: str) -> Any:
    """The value that ``text`` means. Raises UsageError with the range where it is none."""
    plain = text.strip()
    try:
        value = _read(wanted, plain)
    except ValueError:
        raise UsageError(f"{wanted.name} cannot be {plain[:60]!r}", hint=f"it may be {wanted.values}") from None
    SamplingParams(**{wanted.name: value})  # says what is out of its range
    return value


def _read(wanted: Parameter, text: str) -> Any:
    match wanted.kind:
        case "whole":
            return int(text)
        case "number":
            return float(text)
        case "flag":
            if text.lower() not in _FLAGS:
                raise ValueError(text)
            return _FLAGS[text.lower()]
        case "word":
            return text
        case "texts":
            return tuple(_texts(text))
        case "biases":
            return dict(_bias(each) for each in text.replace(",", " ").split())


def _texts(text: str) -> Sequence[str]:
    """JSON texts with commas between them, as ``shown_value`` writes them; else one plain text."""
    try:
        found = json.loads(f"[{text}]")
    except json.JSONDecodeError:
        return [text]
    texts = [each for each in found if isinstance(each, str)]
    if len(texts) != len(found):
        raise ValueError(text)
    return texts


def _bias(text: str) -> tuple[int, float]:
    token, _, bias = text.partition("=")
    return int(token), float(bias)


def shown_value(value: Any) -> str:
    """A value as it may be typed again."""
    match value:
        case None:
            return ""
        case bool():
            return "on" if value else "off"
        case dict():
            return ", ".join(f"{token}={bias:g}" for token, bias in value.items())
        case list() | tuple():
            return ", ".join(json.dumps(each, ensure_ascii=False) for each in value)
        case float():
            return f"{value:g}"
    return str(value)


def sampling_for_server(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON can hold it: it has no infinity, and whole numbers are no keys."""
    sampling = dict(chosen)
    if biases := sampling.get("logit_bias"):
        sampling["logit_bias"] = {
            str(token): None if value in (None, -math.inf) else value for token, value in biases.items()
        }
    return sampling
