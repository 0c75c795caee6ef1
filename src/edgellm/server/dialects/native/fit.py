"""POST /api/edgellm/fit: what `edgellm fit --json` says, of a bundle here or a model of a hub."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from edgellm.api.models import FitOrder
from edgellm.server.fit_command import run_fit
from edgellm.server.http.body import read_json
from edgellm.server.http.operation import operation
from edgellm.server.http.responses import JSONResponse, unless_gone
from edgellm.server.state import state_of

__all__ = ["fit"]


@operation(body=FitOrder, answer=dict[str, Any], errors=(404, 422, 500, 502, 503))
async def fit(request: Request) -> Response:
    """Every recipe of the model on the device, and what a pack would take. 200 also when nothing fits: ``problem``
    says so."""
    body = await read_json(request, FitOrder)
    return JSONResponse(await unless_gone(request, run_fit(state_of(request), body)))
