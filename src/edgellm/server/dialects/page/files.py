"""The files of the page, and what a browser may do with them."""

from __future__ import annotations

import functools
import hashlib
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

from edgellm.server.dialects.page.names import FILES
from edgellm.server.http.operation import operation

__all__ = ["home", "static_file"]

# Nothing from elsewhere, nothing inline, and no other page may show this one in a frame.
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}


@operation(answer="text/html", stream="text/plain", statuses=(200, 304))  # others than browsers get Ollama's line
async def home(request: Request) -> Response:
    """The page itself."""
    return _answer(request, "index.html", "text/html", {"vary": "accept"})


@operation(documented=False)
async def static_file(request: Request) -> Response:
    """A file that the page uses."""
    name = request.url.path.rpartition("/")[2]
    return _answer(request, name, FILES[name], {})


def _answer(request: Request, name: str, media_type: str, more: dict[str, str]) -> Response:
    content, tag = _read(name)
    headers = {**_HEADERS, **more, "etag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=media_type)


@functools.cache
def _read(name: str) -> tuple[bytes, str]:
    content = (files("edgellm.server.dialects.page") / "static" / name).read_bytes()
    return content, f'"{hashlib.sha256(content).hexdigest()[:16]}"'
