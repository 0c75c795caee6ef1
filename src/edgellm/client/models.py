"""The models of a server."""

from __future__ import annotations

from edgellm.api.models import ModelStatus, StopAnswer, StopRequest
from edgellm.client.connection import Client

__all__ = ["loaded_models", "unload_model"]


async def loaded_models(client: Client) -> list[ModelStatus]:
    """What the server has in memory, or is about to."""
    return await client.get("/api/edgellm/ps", list[ModelStatus])


async def unload_model(client: Client, name: str) -> bool:
    """Have ``name`` unloaded; False where that waits for its requests. Raises NotFoundError, UsageError."""
    return (await client.post("/api/edgellm/stop", StopRequest(name), StopAnswer)).unloaded
