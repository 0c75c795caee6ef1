"""GET /v1/models and /v1/models/{model}"""

from __future__ import annotations

import asyncio
import contextlib

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from edgellm.bundle.opened import OpenBundle
from edgellm.errors import EdgeLLMError
from edgellm.server.http.operation import operation
from edgellm.server.http.responses import JSONResponse
from edgellm.server.state import state_of
from edgellm.store.store import Store

__all__ = ["ModelCard", "ModelList", "list_models", "model_card", "model_cards", "show_model"]


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


@operation(answer=ModelList)
async def list_models(request: Request) -> Response:
    """Name the models."""
    return JSONResponse(ModelList(await asyncio.to_thread(model_cards, state_of(request).store)))


@operation(answer=ModelCard, errors=(400, 404, 422))
async def show_model(request: Request) -> Response:
    """Tell of one model."""
    bundle = await state_of(request).models.resolve(request.path_params["model"])
    return JSONResponse(await asyncio.to_thread(model_card, bundle))


def model_cards(store: Store) -> list[ModelCard]:
    """The models of ``store`` that can be read."""
    cards = []
    for stored in store.list():
        with contextlib.suppress(EdgeLLMError):
            cards.append(model_card(store.resolve(stored.full_name)))
    return cards


def model_card(bundle: OpenBundle) -> ModelCard:
    """What is told of ``bundle``."""
    try:
        created = int(bundle.layout.blob_path(bundle.digest).stat().st_mtime)
    except OSError:  # removed just now
        created = 0
    return ModelCard(bundle.name, created, "edgellm", bundle.plan.context)
