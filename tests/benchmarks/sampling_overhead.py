"""What a call costs when there is next to nothing to compute."""

from __future__ import annotations

import time

import numpy as np

from edgellm_runtimes import _sampling
from edgellm_runtimes.sampler import create_sampler, sample_rows
from edgellm_runtimes.sampling import SamplingParams

__all__ = ["overhead"]

_ROWS, _TOKENS, _CALLS = 8, 64, 2000


def overhead() -> dict[str, float]:
    """Eight rows of 64 tokens, greedy: the public call, and the native one in it, in us per row."""
    logits = np.random.default_rng(0).standard_normal((_ROWS, _TOKENS), np.float32)
    samplers = [create_sampler(SamplingParams(temperature=0.0), []) for _ in range(_ROWS)]
    natives = [sampler.native for sampler in samplers]
    public, native = [], []
    for _ in range(_CALLS):
        started = time.perf_counter()
        sample_rows(samplers, logits)
        middle = time.perf_counter()
        _sampling.sample(natives, logits, None, 1)
        public.append(middle - started)
        native.append(time.perf_counter() - middle)
    to_us = 1e6 / _ROWS
    return {"us_per_row": float(np.median(public)) * to_us, "native_us_per_row": float(np.median(native)) * to_us}
