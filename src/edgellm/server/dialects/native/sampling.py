"""The sampling parameters of our own requests."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from edgellm.errors import UsageError
from edgellm_runtimes.sampling import SamplingParams

__all__ = ["chosen_sampling"]


def chosen_sampling(sampling: dict[str, Any]) -> dict[str, Any]:
    """The parameters with their types. JSON knows neither tuples nor whole numbers as keys nor -inf: a bias of null is
    that. Raises UsageError."""
    if isinstance(bias := sampling.get("logit_bias"), dict):
        forbidden = {token: -math.inf for token, value in bias.items() if value is None}
        sampling = sampling | {"logit_bias": bias | forbidden}
    unknown = sampling.keys() - set(SamplingParams.__struct_fields__)
    if unknown:
        raise UsageError(f"there is no sampling parameter {min(unknown)[:80]!r}")
    try:
        params = msgspec.convert(sampling, SamplingParams, str_keys=True)
    except msgspec.ValidationError as error:
        raise UsageError(f"sampling: {error}") from error
    return {name: getattr(params, name) for name in sampling}
