"""GET /openapi.json"""

from __future__ import annotations

import functools
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from edgellm.server.http.operation import operation

__all__ = ["openapi_json", "show_document"]


@operation(answer=dict[str, Any])
async def show_document(_request: Request) -> Response:
    """This document."""
    return Response(openapi_json(), media_type="application/json")


@functools.cache
def openapi_json() -> bytes:
    """The document of all routes of this version."""
    from edgellm.server.dialects import DIALECTS  # among which the route of this handler is
    from edgellm.server.openapi.document import openapi_document

    return msgspec.json.encode(openapi_document(DIALECTS), order="deterministic")
