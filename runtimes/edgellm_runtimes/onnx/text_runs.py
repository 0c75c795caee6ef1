"""Which whole texts go through the graph of an encoder together: those of like length, shorter ones are filled up."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["text_runs"]

_RUN_COST = 4  # of a call and of reading the weights, in tokens: 1 for eight bits, 8 for float32 (MiniLM, AVX-512)


def text_runs(lengths: Sequence[int], most_tokens: int) -> list[list[int]]:
    """Places of ``lengths``, in runs of at most ``most_tokens`` tokens with what is filled up, or of one text."""
    runs: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda place: lengths[place]):
        width = lengths[place]  # the longest so far
        if runs:
            padding = len(runs[-1]) * (width - lengths[runs[-1][-1]])
            if padding <= _RUN_COST and (len(runs[-1]) + 1) * width <= most_tokens:
                runs[-1].append(place)
                continue
        runs.append([place])
    return runs
