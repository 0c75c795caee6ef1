"""What the routes of one server share."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from starlette.requests import Request

from edgellm.running import RunningServer
from edgellm.server.config import ServerConfig
from edgellm.server.models.manager import ModelManager
from edgellm.server.watching.gauges import DeviceGauges
from edgellm.server.watching.log_tail import LogTail
from edgellm.server.watching.statistics import StatisticsReader
from edgellm.settings import SettingsWithOrigin
from edgellm.store.store import Store

__all__ = ["ServerState", "state_of"]


@dataclass
class ServerState:
    """One server: its configuration, its store and its loaded models."""

    config: ServerConfig
    settings: SettingsWithOrigin
    store: Store
    models: ModelManager
    running: RunningServer | None = None  # where it answers
    started: float = field(default_factory=time.time)  # seconds since the epoch
    stopping: asyncio.Event = field(default_factory=asyncio.Event)  # set once: streams without an end are to end

    def __post_init__(self) -> None:
        self.log = LogTail()
        self.gauges = DeviceGauges(self.store.root)
        self.statistics = StatisticsReader(self.models, self.gauges)
        self._pinned: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin: keep the log, load what is pinned. Called on the event loop."""
        self.log.open()
        self._pinned = asyncio.get_running_loop().create_task(self.models.load_pinned())

    def reconfigure(self, config: ServerConfig, settings: SettingsWithOrigin) -> None:
        """Take over settings that were read again; what runs goes on."""
        self.config, self.settings = config, settings
        self.models.reconfigure(config, settings)

    async def close(self) -> None:
        """Unload everything."""
        if self._pinned is not None:
            self._pinned.cancel()
        await self.models.close()
        self.log.close()


def state_of(request: Request) -> ServerState:
    """The server that ``request`` came to."""
    state = request.app.state.server
    assert isinstance(state, ServerState)
    return state
