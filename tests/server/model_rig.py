"""Model managers in this process over stores that tests fill with bundles of one small model."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from bundle_parts import make_plan, write_bundle
from edgellm.api.models import ModelStatus
from edgellm.bundle.plan import Plan, RuntimeNeeds, SamplingDefaults
from edgellm.server.config import ServerConfig
from edgellm.server.models.loaded import LoadedModel
from edgellm.server.models.manager import ModelManager
from edgellm.settings import load_settings
from edgellm.store.store import Store
from edgellm_runtimes.generation import GenerationOptions
from edgellm_runtimes.sampling import SamplingParams

__all__ = ["ENDLESS", "SHORT", "add_bundle", "answer", "open_store", "plan_of", "run_with", "states", "until"]

T = TypeVar("T")

ENDLESS = GenerationOptions(sampling=SamplingParams(temperature=0, ignore_eos=True), overflow="shift")
SHORT = GenerationOptions(sampling=SamplingParams(temperature=0, max_tokens=4))
PATIENCE_S = 120.0


def open_store(home: Path) -> Store:
    """The store that `EDGELLM_HOME=home` means."""
    return Store(home / "store", home / "state")


def plan_of(**changes: Any) -> Plan:
    """A plan that runs everywhere; ``changes`` make it another bundle."""
    small = {"runtime": RuntimeNeeds(), "context": 128, "threads": 1, "batch_threads": 1, "ubatch": 64}
    return msgspec.structs.replace(make_plan(), **{"sampling": SamplingDefaults(), **small, **changes})


def add_bundle(store: Store, name: str, model: Path, **changes: Any) -> str:
    """Write a bundle of the GGUF file ``model``; returns its digest. The file is in the store once."""
    with store.writer() as writer:
        return write_bundle(writer, name, weights=model.read_bytes(), plan=plan_of(**changes))


def run_with(
    home: Path, use: Callable[[ModelManager], Awaitable[T]], *, config: ServerConfig | None = None, **variables: str
) -> T:
    """Run ``use`` on a manager over the store in ``home``; ``variables`` are those of the environment."""

    async def main() -> T:
        async with _manager(home, config or ServerConfig(isolation="worker"), variables) as manager:
            return await asyncio.wait_for(use(manager), PATIENCE_S)

    return asyncio.run(main())


@contextlib.asynccontextmanager
async def _manager(home: Path, config: ServerConfig, variables: dict[str, str]) -> AsyncIterator[ModelManager]:
    settings = load_settings(environ={"EDGELLM_HOME": str(home), **variables}, system_config=home / "none")
    manager = ModelManager(config, settings, open_store(home))
    try:
        yield manager
    finally:
        await manager.close()


async def answer(model: LoadedModel, options: GenerationOptions = SHORT) -> int:
    """Let it answer; returns the number of tokens."""
    n_tokens = 0
    async for chunk in model.engine.generate("Once upon a time", options=options):
        n_tokens += len(chunk.token_ids)
    return n_tokens


async def states(manager: ModelManager) -> dict[str, str]:
    """The state of every model, by name."""
    return {status.name: status.state for status in await manager.statuses()}


async def until(manager: ModelManager, holds: Callable[[list[ModelStatus]], object]) -> None:
    """Wait until the statuses are as ``holds`` wants them."""
    while not holds(await manager.statuses()):
        await asyncio.sleep(0.02)
