"""What the server tells of itself: the chat page that browsers get at `/`, and the OpenAPI document."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.routing import Route

from edgellm.server.dialects.native import NATIVE
from edgellm.server.dialects.page.names import FILES
from edgellm.server.http.deferred import deferred
from edgellm.server.http.dialect import Dialect
from edgellm.server.http.routing import RouteWhere

__all__ = ["PAGE"]


def _is_browser(headers: Headers) -> bool:
    return "text/html" in headers.get("accept", "")


PAGE = Dialect(
    "page",
    ("/page/", "/openapi.json"),
    [
        Route("/openapi.json", deferred("edgellm.server.openapi", "served", "show_document"), methods=["GET"]),
        RouteWhere("/", deferred(__name__, "files", "home"), _is_browser, methods=["GET"]),
        *(Route(f"/page/{name}", deferred(__name__, "files", "static_file"), methods=["GET"]) for name in FILES),
    ],
    NATIVE.errors,
    keyless=("/", *(f"/page/{name}" for name in FILES)),  # into which a key is typed
)
