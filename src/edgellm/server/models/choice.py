"""With which context and how many sequences a model is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from edgellm.devices.prediction import PredictedMemory

if TYPE_CHECKING:
    from edgellm_runtimes.load import LoadForecast

__all__ = ["LoadChoice", "choices"]

_PARALLEL = (4, 2)  # where nobody says how many, and
_PARALLEL_SHARE = 0.5  # they take no more than this of what models may take


class LoadChoice(msgspec.Struct, frozen=True):
    """One way to load. ``optional``: better than the next one, and nothing is unloaded for it."""

    context: int
    sequences: int
    memory: PredictedMemory
    optional: bool = False

    @property
    def total_bytes(self) -> int:
        """What it takes."""
        return self.memory.total_bytes


def choices(forecast: LoadForecast, context: int | None, parallel: int, models_bytes: int) -> list[LoadChoice]:
    """Ways to load for a request that wants ``context``, the best first.

    Never less than the plan's context where that fits: the next request may want it. ``parallel`` 0 gives the plan's
    sequences, and some more where they take up to half of ``models_bytes``. Raises UsageError.
    """
    planned = forecast.settings(None, None)
    largest = max(forecast.trained_context or context or 0, planned.context)
    contexts = [min(largest, max(context or 0, planned.context))]
    if context is not None and context < contexts[0]:
        contexts.append(context)
    found = []
    for n_tokens in contexts:
        for sequences, optional in _sequences(parallel, planned.sequences):
            memory = forecast.memory(forecast.settings(n_tokens, sequences))
            if not optional or memory.total_bytes <= _PARALLEL_SHARE * models_bytes:
                found.append(LoadChoice(n_tokens, sequences, memory, optional))
    return found


def _sequences(parallel: int, planned: int) -> list[tuple[int, bool]]:
    """Numbers of sequences and whether each is optional, the best first. Less than is wanted is better than nothing."""
    wanted = parallel or planned
    firm = [(wanted >> bits, False) for bits in range(wanted.bit_length())]
    return firm if parallel else [(more, True) for more in _PARALLEL if more > planned] + firm
