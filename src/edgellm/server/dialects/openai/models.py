"""GET /v1/models and /v1/models/{model}"""

from __future__ import annotations

import asyncio
import contextlib

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from edgellm.bundle.opened import OpenBundle
from edgellm.errors import EdgeLLMError
from edgellm.server.http.responses import JSONResponse
from edgellm.server.state import state_of
from edgellm.store.store import Store

__all__ = ["ModelCard", "ModelList", "list_models", "show_model"]


class ModelCard(msgspec.Struct):
    """A model of the store. ``created`` is when it came there, in seconds since the epoch."""

    id: str
    created: int
    owned_by: str
    max_model_len: int  # tokens, as vLLM says it
    object: str = "model"


class ModelList(msgspec.Struct):
    """All models of the store."""

    data: list[ModelCard]
    object: str = "list"


async def list_models(request: Request) -> Response:
    """Name the models."""
    return JSONResponse(ModelList(await asyncio.to_thread(_cards, state_of(request).store)))


async def show_model(request: Request) -> Response:
    """Tell of one model."""
    bundle = await state_of(request).models.resolve(request.path_params["model"])
    return JSONResponse(await asyncio.to_thread(_card, bundle))


def _cards(store: Store) -> list[ModelCard]:
    """Of all that can be read."""
    cards = []
    for stored in store.list():
        with contextlib.suppress(EdgeLLMError):
            cards.append(_card(store.resolve(stored.full_name)))
    return cards


def _card(bundle: OpenBundle) -> ModelCard:
    try:
        created = int(bundle.layout.blob_path(bundle.digest).stat().st_mtime)
    except OSError:  # removed just now
        created = 0
    return ModelCard(bundle.name, created, "edgellm", bundle.plan.context)
