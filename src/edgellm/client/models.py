"""The models of a server."""

from __future__ import annotations

import msgspec

from edgellm.client.connection import Client

__all__ = ["ServedModel", "loaded_models"]


class ServedModel(msgspec.Struct, frozen=True):
    """A model that is loaded."""

    name: str
    digest: str


async def loaded_models(client: Client) -> list[ServedModel]:
    """What the server has in memory."""
    return await client.get("/api/edgellm/ps", list[ServedModel])
