"""Our engine, in this process or in a worker process, asked through the same driver as the servers."""

from __future__ import annotations

import inspect
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from serve_load import Ask, Event

from edgellm.progress import SilentProgress
from edgellm_runtimes.engine import Engine
from edgellm_runtimes.generation import GenerationOptions, GenerationStats
from edgellm_runtimes.grammar import Grammar
from edgellm_runtimes.load import LoadRequest

__all__ = ["FORMS", "EngineContender", "missing", "open_engine", "store_fields"]

FORMS = {"in-process": "process", "worker": "worker"}  # our name, and what Engine.load calls it
UBATCH = 512
STORE_FIELD = "prefix_folder"  # of LoadRequest


def missing(form: str = "in-process", *, options: bool = False) -> str | None:
    """Why this engine cannot do what is asked of it, or None."""
    if form == "worker" and "isolation" not in inspect.signature(Engine.load).parameters:
        return "this engine runs in no worker process"
    if options and not _takes_options():
        return "this engine takes no grammar, no saving and no speculation"
    return None


def store_fields(path: Path, folder: Path) -> dict[str, Any] | None:
    """What a LoadRequest needs to keep prefixes of the model at ``path`` in ``folder``, those of conversations too.

    None where this engine cannot. A bundle names its files by their digests.
    """
    if STORE_FIELD not in LoadRequest.__struct_fields__:
        return None
    return {STORE_FIELD: folder, "save_chats": True, "model_digest": f"sha256:{path.name}"}


@asynccontextmanager
async def open_engine(
    path: Path, *, form: str, context: int, sequences: int, threads: int, **more: Any
) -> AsyncIterator[Engine]:
    """The model, loaded with the settings that the peers get. ``more`` goes to the LoadRequest."""
    request = LoadRequest(
        model_path=path,
        context=context,
        sequences=sequences,
        threads=threads,
        batch_threads=threads,
        ubatch=UBATCH,
        **more,
    )
    isolation = {"isolation": FORMS[form]} if form == "worker" else {}
    async with await Engine.load(request, progress=SilentProgress(), **isolation) as engine:
        yield engine


class EngineContender:
    """An engine that answers. The client's time is that of the loop's thread, where other threads compute."""

    exact = True

    def __init__(self, engine: Engine, form: str, *, forbidden: Mapping[int, float]) -> None:
        self.name = form
        self.client_clock = time.thread_time if form == "in-process" else time.process_time
        self._engine = engine
        self._forbidden = dict(forbidden)

    def prepare(self, ask: Ask) -> Callable[[], AsyncIterator[Event]]:
        params = self._engine.params(
            max_tokens=ask.tokens,
            temperature=ask.temperature,
            top_k=40,
            top_p=0.95,
            min_p=0.05,
            seed=ask.seed,
            ignore_eos=True,
            logit_bias=self._forbidden,
        )
        if not _takes_options():
            return lambda: self._answer(ask, params)
        grammar = Grammar("json_schema", ask.schema) if ask.schema is not None else None
        options = GenerationOptions(sampling=params, grammar=grammar, save=ask.save, speculate=ask.speculate)
        return lambda: self._answer(ask, options=options)

    async def _answer(self, ask: Ask, *arguments: Any, **options: Any) -> AsyncIterator[Event]:
        async for chunk in self._engine.generate(ask.prompt, *arguments, **options):
            if chunk.token_ids:
                yield Event(len(chunk.token_ids), chunk.text)
            if chunk.stats is not None:
                yield _counts(chunk.stats)


def _takes_options() -> bool:
    return "options" in inspect.signature(Engine.generate).parameters


def _counts(stats: GenerationStats) -> Event:
    return Event(
        0,
        prompt_tokens=stats.prompt_tokens,
        generated_tokens=stats.generated_tokens,
        cached_tokens=stats.cached_tokens,
        drafted_tokens=getattr(stats, "drafted_tokens", None),
        accepted_tokens=getattr(stats, "accepted_tokens", None),
    )
