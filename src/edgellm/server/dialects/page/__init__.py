"""The chat page that browsers get at `/`: static files, which ask nobody but this server."""

from __future__ import annotations

from starlette.routing import Match, Route
from starlette.types import Scope

from edgellm.server.dialects.native import NATIVE
from edgellm.server.dialects.page.files import FILES, home, static_file
from edgellm.server.http.dialect import Dialect

__all__ = ["PAGE"]


class _BrowserRoute(Route):
    """A route for requests that want HTML; others find the next one with the same path."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        if match is Match.FULL and not _wants_html(scope):
            return Match.NONE, {}
        return match, child


def _wants_html(scope: Scope) -> bool:
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])


PAGE = Dialect(
    "page",
    ("/page/",),
    [
        _BrowserRoute("/", home, methods=["GET"]),
        *(Route(f"/page/{name}", static_file, methods=["GET"]) for name in FILES),
    ],
    NATIVE.error_body,
)
