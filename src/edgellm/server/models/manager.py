"""Which models are loaded."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from edgellm.bundle.opened import OpenBundle
from edgellm.server.config import ServerConfig
from edgellm.server.models.loaded import LoadedModel
from edgellm.settings import SettingsWithOrigin
from edgellm.store.store import Store
from edgellm_runtimes.engine import Engine
from edgellm_runtimes.load import LoadRequest

__all__ = ["ModelManager"]


class ModelManager:
    """Loads models on demand and shares them. All methods belong to one event loop."""

    def __init__(self, config: ServerConfig, settings: SettingsWithOrigin, store: Store) -> None:
        self._config = config
        self._settings = settings
        self._store = store
        self._engines: dict[str, Engine] = {}
        self._names: dict[str, str] = {}
        self._loading = asyncio.Lock()

    def reconfigure(self, config: ServerConfig, settings: SettingsWithOrigin) -> None:
        """Take over settings that were read again. Models that are loaded stay as they are."""
        self._config, self._settings = config, settings

    async def resolve(self, name: str) -> OpenBundle:
        """The bundle that a client calls ``name``. Raises NotFoundError, UsageError, BundleError."""
        return await asyncio.to_thread(self._store.resolve, name)

    @contextlib.asynccontextmanager
    async def use(
        self, name: str, *, keep_alive_s: float | None = None, context: int | None = None
    ) -> AsyncIterator[LoadedModel]:
        """The model ``name``, loaded if it is not, for as long as the block runs.

        ``keep_alive_s``: how long it stays loaded afterwards; None is the server's own. ``context``: tokens that the
        request wants to have room for; None is the plan's. Raises NotFoundError, DoesNotFitError, BusyError, and what
        loading raises.
        """
        begun = time.monotonic()
        bundle = await self.resolve(name)
        async with self._loading:
            if bundle.digest not in self._engines:
                self._names[bundle.digest] = bundle.name
                self._engines[bundle.digest] = await self._load(bundle)
        yield LoadedModel(bundle, self._engines[bundle.digest], time.monotonic() - begun)

    async def statuses(self) -> list[dict[str, str]]:
        """Every model that is loaded."""
        return [{"name": self._names[digest], "digest": digest, "state": "ready"} for digest in self._engines]

    async def unload(self, name: str) -> bool:
        """Unload ``name``. Raises NotFoundError."""
        bundle = await self.resolve(name)
        async with self._loading:
            engine = self._engines.pop(bundle.digest, None)
            if engine is not None:
                await engine.close()
        return True

    async def _load(self, bundle: OpenBundle) -> Engine:
        request = LoadRequest(
            model_path=bundle.weights_path,
            name=bundle.name,
            plan=bundle.plan,
            adapters=bundle.adapter_paths,
            model_digest=bundle.bundle.model_file.digest,
            adapter_digests={name: file.digest for name, file in bundle.bundle.adapters.items()},
            prefix_folder=self._settings.paths.prefixes,
            prefix_cap_bytes=self._settings.values.prefix_cache_mib << 20,
            prefix_daily_bytes=self._settings.values.prefix_daily_mib << 20,
        )
        return await Engine.load(request, isolation=self._config.isolation)

    async def close(self) -> None:
        """Unload everything."""
        engines, self._engines = self._engines, {}
        for engine in engines.values():
            await engine.close()
