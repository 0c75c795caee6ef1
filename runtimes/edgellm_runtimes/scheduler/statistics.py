"""What a scheduler has done since its model was loaded, and what it does now."""

from __future__ import annotations

import msgspec

__all__ = ["SchedulerStatistics"]


class SchedulerStatistics(msgspec.Struct):
    """Counts grow only; running, embedding, waiting and cached_tokens are of the moment."""

    running: int = 0  # answers that have a sequence
    embedding: int = 0  # requests for embeddings that have begun
    waiting: int = 0  # answers and requests for embeddings that have not begun
    cached_tokens: int = 0  # whose state is kept for requests that may come
    requests: int = 0
    refused: int = 0  # because the queue was full
    cancelled: int = 0
    failed: int = 0
    steps: int = 0
    prompt_tokens: int = 0  # computed
    reused_tokens: int = 0  # of prompts, found in the cache
    generated_tokens: int = 0
    embedded_texts: int = 0
    embedded_tokens: int = 0  # computed for embeddings
    drafted_tokens: int = 0  # proposed, of which
    accepted_tokens: int = 0  # so many were right
    step_s: float = 0.0  # time in steps, of which
    compute_s: float = 0.0  # the backend took so much
    sample_s: float = 0.0
    longest_step_s: float = 0.0
