"""One answer of a model, measured while it is made."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from edgellm.server.limits import Limits
from edgellm.server.models.loaded import LoadedModel
from edgellm.server.telemetry.record import RequestRecord, current_record
from edgellm.server.telemetry.telemetry import Telemetry

if TYPE_CHECKING:
    from edgellm_runtimes.generation import Chunk, GenerationStats

__all__ = ["Work", "begin_work"]


class Work:
    """Counts what comes of a request: for its record and for all requests of its model."""

    __slots__ = ("_gaps", "_last_s", "_record", "_telemetry", "_unfinished", "model")

    def __init__(self, model: str, choices: int, record: RequestRecord, telemetry: Telemetry) -> None:
        self.model = model
        self._record = record
        self._telemetry = telemetry
        self._gaps = telemetry.metrics.gap.series(model)
        self._unfinished = choices
        self._last_s = 0.0
        record.model = model

    def arrived(self, chunks: Sequence[Chunk]) -> None:
        """Pieces of the answer that came at once."""
        now = time.perf_counter()
        record = self._record
        if record.first_s is None:
            record.first_s = now - record.begun
            self._telemetry.metrics.first_token.series(self.model).observe(record.first_s)
        else:
            self._gaps.observe(now - self._last_s)
        self._last_s = now
        for chunk in chunks:
            if record.keeps_content:
                record.keep_answer(chunk.text)
            if chunk.stats is not None:
                self._count(chunk.stats)

    def _count(self, stats: GenerationStats) -> None:
        """An answer is complete."""
        self._unfinished -= 1
        self._record.count(stats)
        metrics = self._telemetry.metrics
        metrics.prompt_tokens.add(stats.prompt_tokens, self.model)
        metrics.cached_tokens.add(stats.cached_tokens, self.model)
        metrics.generated_tokens.add(stats.generated_tokens, self.model)
        if stats.decode_tokens_per_s:
            self._telemetry.last_decode[self.model] = stats.decode_tokens_per_s

    def over(self) -> None:
        """Nothing more comes."""
        if self._unfinished:
            self._telemetry.metrics.cancelled.add(1, self.model)


@asynccontextmanager
async def begin_work(model: LoadedModel, choices: int = 1) -> AsyncIterator[Work]:
    """Wait for the turn of an answer of ``model``, and measure it. Without a request around it nothing is kept."""
    record = current_record()
    telemetry = record.telemetry or Telemetry(Limits())
    async with telemetry.admission.turn(model.name, model.engine.info.sequences):
        work = Work(model.name, choices, record, telemetry)
        try:
            yield work
        finally:
            work.over()
