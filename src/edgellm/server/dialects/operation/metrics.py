"""GET /metrics"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from edgellm.server.http.operation import operation
from edgellm.server.state import state_of
from edgellm.server.telemetry.page import metrics_page
from edgellm.server.telemetry.prometheus import CONTENT_TYPE

__all__ = ["metrics"]


@operation(answer="text/plain")
async def metrics(request: Request) -> Response:
    """Counters, histograms and gauges of this server, its models and its machine."""
    state = state_of(request)
    page = await metrics_page(state.telemetry, await state.statistics.read(), state.started)
    return Response(page, headers={"content-type": CONTENT_TYPE})
