"""Chooses the next token of every answer that is up to date, all rows of a step in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgellm.errors import BackendError
from edgellm_runtimes.sampler import sample_each
from edgellm_runtimes.scheduler.live import LiveAnswer

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["choose_tokens"]


def choose_tokens(answers: Sequence[LiveAnswer], rows: npt.NDArray[np.float32]) -> list[int | BackendError]:
    """A token for each answer from its row, float32 [len(answers), n_vocab]; an error for rows that have none."""
    return sample_each([answer.sampler for answer in answers], rows)
