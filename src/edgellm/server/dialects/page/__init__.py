"""What the server tells of itself: the chat page that browsers get at `/`, and the OpenAPI document."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.routing import Route

from edgellm.server.dialects.native import NATIVE
from edgellm.server.dialects.page.files import FILES, home, static_file
from edgellm.server.http.dialect import Dialect
from edgellm.server.http.routing import RouteWhere
from edgellm.server.openapi.served import show_document

__all__ = ["PAGE"]


def _is_browser(headers: Headers) -> bool:
    return "text/html" in headers.get("accept", "")


PAGE = Dialect(
    "page",
    ("/page/", "/openapi.json"),
    [
        Route("/openapi.json", show_document, methods=["GET"]),
        RouteWhere("/", home, _is_browser, methods=["GET"]),
        *(Route(f"/page/{name}", static_file, methods=["GET"]) for name in FILES),
    ],
    NATIVE.error_body,
    error=NATIVE.error,
    keyless=("/", *(f"/page/{name}" for name in FILES)),  # into which a key is typed
)
