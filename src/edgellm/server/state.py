"""What the routes of one server share."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from starlette.requests import Request

from edgellm.server.config import ServerConfig
from edgellm.server.jobs.runner import JobRunner
from edgellm.server.jobs.uploads import Uploads
from edgellm.server.models.manager import ModelManager
from edgellm.settings import SettingsWithOrigin
from edgellm.store.store import Store

__all__ = ["ServerState", "state_of"]


@dataclass
class ServerState:
    """One server: its configuration, its store, its loaded models and its jobs."""

    config: ServerConfig
    settings: SettingsWithOrigin
    store: Store
    models: ModelManager
    started: float = field(default_factory=time.time)  # seconds since the epoch
    uploads: Uploads = field(init=False)
    jobs: JobRunner = field(init=False)

    def __post_init__(self) -> None:
        self.uploads = Uploads(self.store)
        self.jobs = JobRunner(self.settings, self.uploads.find)

    async def close(self) -> None:
        """End the jobs and unload everything."""
        await self.jobs.close()
        await self.models.close()


def state_of(request: Request) -> ServerState:
    """The server that ``request`` came to."""
    state = request.app.state.server
    assert isinstance(state, ServerState)
    return state
