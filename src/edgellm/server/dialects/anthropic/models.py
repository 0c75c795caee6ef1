"""GET /v1/models and /v1/models/{model} for Anthropic's clients, who say their version; others get OpenAI's form."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from edgellm.server.dialects.openai.models import ModelCard, model_card, model_cards
from edgellm.server.http.operation import operation
from edgellm.server.http.responses import JSONResponse
from edgellm.server.state import state_of

__all__ = ["ModelInfo", "ModelPage", "list_models", "show_model"]


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True, tag="model"):
    """A model of the store."""

    id: str
    display_name: str
    created_at: str
    max_input_tokens: int
    lifecycle: Literal["active"] = "active"


class ModelPage(msgspec.Struct, frozen=True, kw_only=True):
    """All models of the store: they fit one page."""

    data: tuple[ModelInfo, ...]
    first_id: str | None
    last_id: str | None
    has_more: Literal[False] = False


@operation(documented=False)  # the document has OpenAI's form
async def list_models(request: Request) -> Response:
    """Name the models."""
    found = tuple(map(_info, await asyncio.to_thread(model_cards, state_of(request).store)))
    ends = (found[0].id, found[-1].id) if found else (None, None)
    return JSONResponse(ModelPage(data=found, first_id=ends[0], last_id=ends[1]))


@operation(documented=False)
async def show_model(request: Request) -> Response:
    """Tell of one model."""
    bundle = await state_of(request).models.resolve(request.path_params["model"])
    return JSONResponse(_info(await asyncio.to_thread(model_card, bundle)))


def _info(card: ModelCard) -> ModelInfo:
    created = datetime.fromtimestamp(card.created, UTC).isoformat().replace("+00:00", "Z")
    return ModelInfo(id=card.id, display_name=card.id, created_at=created, max_input_tokens=card.max_model_len)
