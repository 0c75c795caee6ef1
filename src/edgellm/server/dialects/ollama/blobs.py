"""HEAD and POST /api/blobs/:digest"""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from edgellm.errors import Interrupted, NotFoundError
from edgellm.server.dialects.ollama.errors import require_digest
from edgellm.server.http.operation import operation
from edgellm.server.state import state_of

__all__ = ["blob"]


@operation(raw_body="application/octet-stream", statuses=(200, 201), errors=(404, 503, 507))
async def blob(request: Request) -> Response:
    """Whether a blob is here, or a blob that a client sends."""
    digest = require_digest(request.path_params["digest"])
    uploads = state_of(request).uploads
    if request.method == "HEAD":
        try:
            await asyncio.to_thread(uploads.find, digest)
        except NotFoundError:
            return Response(status_code=404)
        return Response(status_code=200)
    length = request.headers.get("content-length", "")
    try:
        is_new = await uploads.receive(digest, int(length) if length.isdecimal() else None, request.stream())
    except ClientDisconnect as error:
        raise Interrupted("the client went away") from error
    return Response(status_code=201 if is_new else 200)
