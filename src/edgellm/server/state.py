"""What the routes of one server share."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from starlette.requests import Request

from edgellm.running import RunningServer
from edgellm.server.config import ServerConfig
from edgellm.server.models.manager import ModelManager
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

    def reconfigure(self, config: ServerConfig, settings: SettingsWithOrigin) -> None:
        """Take over settings that were read again; what runs goes on."""
        self.config, self.settings = config, settings
        self.models.reconfigure(config, settings)

    async def close(self) -> None:
        """Unload everything."""
        await self.models.close()


def state_of(request: Request) -> ServerState:
    """The server that ``request`` came to."""
    state = request.app.state.server
    assert isinstance(state, ServerState)
    return state
