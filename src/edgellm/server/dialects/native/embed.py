"""POST /api/edgellm/embed"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from edgellm.api.embed import EmbedAnswer, EmbedOrder
from edgellm.server.http.body import read_json
from edgellm.server.http.operation import MODEL_ERRORS, operation
from edgellm.server.http.responses import JSONResponse, unless_gone
from edgellm.server.models.manager import ModelManager
from edgellm.server.state import state_of

__all__ = ["embed"]


@operation(body=EmbedOrder, answer=EmbedAnswer, errors=MODEL_ERRORS)
async def embed(request: Request) -> Response:
    """Vectors exactly as `edgellm embed` would make them in its own process."""
    order = await read_json(request, EmbedOrder)
    return JSONResponse(await unless_gone(request, _embed(state_of(request).models, order)))


async def _embed(models: ModelManager, order: EmbedOrder) -> EmbedAnswer:
    async with models.use(order.model, context=order.context) as model:
        found = await model.engine.embed(
            order.texts,
            pooling=order.pooling,
            normalise=order.normalise,
            truncate=order.truncate,
            adapters=order.adapters,
        )
        return EmbedAnswer(
            vectors=[vector.tolist() for vector in found.vectors],
            n_tokens=list(found.n_tokens),
            pooling=order.pooling or model.engine.facts.pooling,
            info=model.told_info,
            note=model.note,
        )
