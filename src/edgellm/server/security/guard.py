"""In front of all routes: who asks, from where, and through whose page. No body is read before this is known."""

from __future__ import annotations

from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgellm.errors import AccessError, EdgeLLMError, KeyRequiredError
from edgellm.server.caller import LOCAL, Caller
from edgellm.server.security.browsers import host_name, is_known_host, is_known_origin
from edgellm.server.security.networks import is_allowed
from edgellm.server.security.policy import AccessPolicy

__all__ = ["Guard", "Refuse"]

Refuse = Callable[[str, EdgeLLMError, int], Response]
"""The response for a path, an error and its status."""

_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_EXPOSED = "x-request-id, retry-after"
_LONGEST_HEADER_LIST = 2000
_REMEMBER_S = 600


class Guard:
    """Lets a request through to ``app`` with its caller in the scope, or answers it with ``refuse``.

    ``keyless`` are paths that GET and HEAD may ask for without a key: what says that the server lives, and the page
    into which a key is typed.
    """

    def __init__(self, app: ASGIApp, policy: AccessPolicy, refuse: Refuse, keyless: frozenset[str]) -> None:
        self._app = app
        self._policy = policy
        self._refuse = refuse
        self._keyless = keyless

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _is_unix_socket(scope):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            origin = self._check_address(scope, headers)
            if origin is not None:
                if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
                    await _preflight(origin, headers)(scope, receive, send)
                    return
                send = _with_cors(send, origin)
            scope["edgellm.caller"] = self._caller(scope, headers)
        except AccessError as error:
            await self._refuse(scope["path"], error, error.http_status)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check_address(self, scope: Scope, headers: Headers) -> str | None:
        """The origin of the page that asks, if one does. Raises AccessError."""
        policy = self._policy
        client = scope["client"][0] if scope.get("client") else ""
        if policy.networks and not is_allowed(client, policy.networks):
            raise AccessError(f"requests from {client} are not allowed", hint=f"serve --allow {client} lets it in")
        host_header = headers.get("host", "")
        host = host_name(host_header)
        if host_header and not is_known_host(host, policy.hosts, is_local=policy.is_local):
            raise AccessError(
                f"this server is not known by the name {host[:200]!r}",
                hint=f"serve --allowed-host {host[:200]} allows requests to that name",
            )
        origin = headers.get("origin")
        if origin is not None and not is_known_origin(origin, host_header, policy.origins):
            raise AccessError(
                f"pages of {origin[:200]!r} may not ask this server",
                hint=f"serve --origin {origin[:200]} allows that page",
            )
        return origin

    def _caller(self, scope: Scope, headers: Headers) -> Caller:
        """Who asks. Raises KeyRequiredError where a key is needed and none, or another, came."""
        presented = _presented_key(headers)
        key = self._policy.keys.find(presented) if presented else None
        if key is not None:
            return Caller(key.name, key.scope)
        if not self._policy.needs_key or (scope["method"] in ("GET", "HEAD") and scope["path"] in self._keyless):
            return LOCAL  # clients of local servers send whatever key they have
        raise KeyRequiredError(
            "this API key is not known" if presented else "this server wants an API key",
            hint="`edgellm key add NAME` makes one there; send it as `Authorization: Bearer KEY` or `x-api-key`",
        )


def _is_unix_socket(scope: Scope) -> bool:
    """Who reaches the socket's file is who may use it."""
    server = scope.get("server")
    return scope.get("client") is None and (server is None or server[1] is None)


def _presented_key(headers: Headers) -> str:
    kind, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else headers.get("x-api-key", "").strip()


def _preflight(origin: str, headers: Headers) -> Response:
    """The answer to a browser that asks before it asks."""
    allowed = {
        "access-control-allow-origin": origin,
        "access-control-allow-methods": _METHODS,
        "access-control-max-age": str(_REMEMBER_S),
        "vary": "Origin",
    }
    wanted = headers.get("access-control-request-headers", "")[:_LONGEST_HEADER_LIST]
    if wanted:
        allowed["access-control-allow-headers"] = wanted
    if headers.get("access-control-request-private-network") == "true":
        allowed["access-control-allow-private-network"] = "true"
    return Response(None, 204, allowed)


def _with_cors(send: Send, origin: str) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["access-control-allow-origin"] = origin
            headers["access-control-expose-headers"] = _EXPOSED
            headers.add_vary_header("Origin")
        await send(message)

    return sending
