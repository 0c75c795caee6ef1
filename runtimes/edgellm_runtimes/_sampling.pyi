"""Sampling kernels: rows of logits in, tokens out."""

from collections.abc import Mapping
from collections.abc import Sequence as AnySequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

class Sequence:
    """Parameters, history and random state of one sequence.

    One call at a time works on it: while another thread samples with it, everything here raises ValueError.
    """

    def __init__(self, parameters: Mapping[str, Any]) -> None: ...
    def prompt(self, tokens: NDArray[np.int32]) -> None:
        """Begin after these tokens."""
    def accept(self, token: int) -> None:
        """Append a token that was chosen elsewhere."""
    def truncate(self, position: int) -> None:
        """Forget the generated tokens from `position` on."""
    @property
    def position(self) -> int:
        """Number of tokens generated."""
    mirostat_mu: float
    """Mirostat's running bound, in bits."""
    @property
    def logprob(self) -> float:
        """Natural logarithm of the chosen token's probability."""
    @property
    def top_logprobs(self) -> list[tuple[int, float]]:
        """The likeliest tokens and their log-probabilities."""

def tiers() -> list[str]:
    """The instruction sets that this processor has kernels for, the best first."""

def tier() -> str:
    """The kernels in force; see EDGELLM_SAMPLING_TIER."""

def sample(
    sequences: AnySequence[Sequence],
    logits: NDArray[np.float32],
    masks: NDArray[np.uint32] | None = None,
    threads: int = 1,
    uniforms: NDArray[np.float64] | None = None,
    accept: bool = True,
    tier: str = "",
) -> list[int]:
    """One token for each row; -1 where a logit is NaN, -2 where nothing is allowed.

    Arrays are taken as they are, never converted: TypeError where a dtype differs, ValueError where a shape does, or
    where a sequence is there twice.
    """

def distribution(
    sequence: Sequence,
    logits: NDArray[np.float32],
    masks: NDArray[np.uint32] | None = None,
    uniforms: NDArray[np.float64] | None = None,
    tier: str = "",
) -> tuple[list[int], list[float]]:
    """The tokens that are left for the draw, ascending, and their probabilities."""
