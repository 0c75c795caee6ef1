"""Samplers: a logits row in, a token id out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from edgellm_runtimes.sampling import SamplingParams

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["Sampler", "create_sampler"]


class Sampler(Protocol):
    """The sampling state of one sequence."""

    seed: int  # what the draws depend on

    def sample(self, row: npt.NDArray[np.float32]) -> int:
        """Choose the next token from ``row``, float32 [n_vocab], and remember it.

        Raises BackendError when the logits are not finite.
        """

    def close(self) -> None:
        """Free native memory."""


def create_sampler(params: SamplingParams, n_vocab: int, prompt: Sequence[int]) -> Sampler:
    """The sampler for one generation after ``prompt``."""
    from edgellm_runtimes.llama_cpp.chain import ChainSampler

    return ChainSampler(params, n_vocab, prompt)
