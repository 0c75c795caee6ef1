"""How the next token is chosen: the parameters of a request, checked in one place."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import msgspec

from edgellm.bundle.plan import SamplingDefaults
from edgellm.errors import UsageError

__all__ = ["SamplingParams", "sampling_params"]


class _Range(NamedTuple):
    low: float
    high: float
    whole: bool = False
    optional: bool = False


_LARGEST_COUNT = 2**31 - 1
_RANGES = {
    "max_tokens": _Range(1, _LARGEST_COUNT, whole=True, optional=True),
    "temperature": _Range(0.0, 100.0),
    "top_k": _Range(0, _LARGEST_COUNT, whole=True),
    "top_p": _Range(0.0, 1.0),
    "min_p": _Range(0.0, 1.0),
    "repetition_penalty": _Range(0.01, 100.0),
    "repetition_window": _Range(0, 65536, whole=True),
    "frequency_penalty": _Range(-2.0, 2.0),
    "presence_penalty": _Range(-2.0, 2.0),
    "seed": _Range(0, 2**63 - 1, whole=True, optional=True),
}


class SamplingParams(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters of one generation, checked when made: UsageError names the field, its value and the range.

    They apply in this order: penalties, top_k, top_p, min_p, temperature. At temperature 0 the most likely token is
    taken (after the penalties) and top_k, top_p, min_p and seed play no part. The penalties look at the last
    ``repetition_window`` tokens, those of the prompt included.
    """

    max_tokens: int | None = None  # None: until the context is full
    temperature: float = 0.8
    top_k: int = 40  # 0 turns it off
    top_p: float = 0.95  # 1 turns it off
    min_p: float = 0.05  # 0 turns it off
    repetition_penalty: float = 1.0  # 1 turns it off
    repetition_window: int = 64  # tokens
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    seed: int | None = None  # None: a new one each time, reported with the result
    ignore_eos: bool = False  # go on after an end token

    def __post_init__(self) -> None:
        for name, allowed in _RANGES.items():
            _check(name, getattr(self, name), allowed)
        if not isinstance(self.ignore_eos, bool):
            raise UsageError(f"ignore_eos is {self.ignore_eos!r}; it must be true or false")

    @property
    def has_penalties(self) -> bool:
        """True when the penalties change anything."""
        return self.repetition_window > 0 and (
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
