"""A server from start to end."""

from __future__ import annotations

import uvicorn

from edgellm.server.app import create_app
from edgellm.server.config import ServerConfig
from edgellm.server.models.manager import ModelManager
from edgellm.server.state import ServerState
from edgellm.settings import SettingsWithOrigin
from edgellm.store.store import Store

__all__ = ["serve"]


async def serve(config: ServerConfig, settings: SettingsWithOrigin, store: Store) -> None:
    """Answer requests until a signal says stop."""
    state = ServerState(config, settings, store, ModelManager(config, settings, store))
    server = uvicorn.Server(
        uvicorn.Config(create_app(state), config.host, config.port, log_level="warning", http="h11", ws="none")
    )
    await server.serve()
