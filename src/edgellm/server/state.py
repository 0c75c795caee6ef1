"""What the routes of one server share."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from starlette.requests import Request

from edgellm.running import RunningServer
from edgellm.server.config import ServerConfig
from edgellm.server.http.budget import BodyBudget
from edgellm.server.http.concealing import Concealer
from edgellm.server.lifecycle.idle import IdleEnd
from edgellm.server.models.manager import ModelManager
from edgellm.server.security.key_file import KeyFile
from edgellm.server.security.policy import AccessPolicy, make_policy
from edgellm.server.telemetry.health_watch import HealthWatch
from edgellm.server.telemetry.telemetry import Telemetry
from edgellm.server.watching.log_tail import LogTail
from edgellm.settings import SettingsWithOrigin
from edgellm.store.store import Store

if TYPE_CHECKING:
    from edgellm.server.jobs.runner import JobRunner
    from edgellm.server.jobs.uploads import Uploads
    from edgellm.server.watching.gauges import DeviceGauges
    from edgellm.server.watching.statistics import StatisticsReader

__all__ = ["ServerState", "state_of"]


@dataclass
class ServerState:
    """One server: its configuration, its store, its loaded models and its jobs.

    Without a ``policy`` it is that of a server on the address of ``config`` alone.
    """

    config: ServerConfig
    settings: SettingsWithOrigin
    store: Store
    models: ModelManager
    running: RunningServer | None = None  # where it answers
    policy: AccessPolicy | None = None
    health: HealthWatch = field(default_factory=HealthWatch)
    started: float = field(default_factory=time.time)  # seconds since the epoch
    stopping: asyncio.Event = field(default_factory=asyncio.Event)  # set once: streams without an end are to end

    def __post_init__(self) -> None:
        self.bodies = BodyBudget(self.config.limits.max_bodies_bytes)
        self.telemetry = Telemetry(self.config.limits, self.health)
        self.log = LogTail()
        self._begun = time.monotonic()
        self.idle_end = IdleEnd(self.config.until_idle_s)
        self._pinned: asyncio.Task[None] | None = None

    @property
    def access(self) -> AccessPolicy:
        """Who may ask. Raises UsageError where it is open to others and nothing keeps them out."""
        if self.policy is None:
            addresses = [self.config.host] if self.config.tcp else []
            self.policy = make_policy(self.config.access, addresses, KeyFile(self.settings.paths.config))
        return self.policy

    @cached_property
    def conceal(self) -> Concealer:
        """Keeps the folders of this machine out of what clients are told."""
        return Concealer(self.settings.paths, self.store.root)

    # A server answers before it has these: most requests need none of them.

    @cached_property
    def uploads(self) -> Uploads:
        """Files that clients bring."""
        from edgellm.server.jobs.uploads import Uploads

        return Uploads(self.store)

    @cached_property
    def jobs(self) -> JobRunner:
        """Long work, one at a time."""
        from edgellm.server.jobs.runner import JobRunner

        return JobRunner(self.settings, self.uploads, self.stopping, self.conceal)

    @cached_property
    def gauges(self) -> DeviceGauges:
        """Of this machine."""
        from edgellm.server.watching.gauges import DeviceGauges

        return DeviceGauges(self.store.root)

    @cached_property
    def statistics(self) -> StatisticsReader:
        """What the server does."""
        from edgellm.server.watching.statistics import StatisticsReader

        return StatisticsReader(self.models, self.gauges, self._begun)

    def open(self) -> None:
        """Begin: keep the log, load what is pinned. Called on the event loop."""
        self.log.open()
        self._pinned = asyncio.get_running_loop().create_task(self.models.load_pinned())

    def reconfigure(self, config: ServerConfig, settings: SettingsWithOrigin) -> None:
        """Take over settings that were read again; what runs goes on. Raises UsageError, and changes nothing then."""
        self.models.reconfigure(config, settings)
        if "jobs" in vars(self):  # what is made later has the new ones
            self.jobs.reconfigure(settings)
        self.config, self.settings = config, settings

    async def close(self) -> None:
        """End the jobs and unload everything."""
        if self._pinned is not None:
            self._pinned.cancel()
        if "jobs" in vars(self):
            await self.jobs.close()
        await self.models.close()
        self.log.close()


def state_of(request: Request) -> ServerState:
    """The server that ``request`` came to."""
    state = request.app.state.server
    assert isinstance(state, ServerState)
    return state
