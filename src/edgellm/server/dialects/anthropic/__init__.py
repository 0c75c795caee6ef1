"""Anthropic's Messages API, for its clients and the programs built on them."""

from __future__ import annotations

from functools import partial

from starlette.datastructures import Headers
from starlette.routing import Route

from edgellm.server.http.deferred import deferred
from edgellm.server.http.dialect import Dialect
from edgellm.server.http.routing import RouteWhere

__all__ = ["ANTHROPIC"]


def _is_ours(headers: Headers) -> bool:
    return "anthropic-version" in headers


_deferred = partial(deferred, __name__)

ANTHROPIC = Dialect(
    "anthropic",
    ("/v1/messages", "/v1/complete"),
    [
        RouteWhere("/v1/models", _deferred("models", "list_models"), _is_ours, methods=["GET"]),
        RouteWhere("/v1/models/{model:path}", _deferred("models", "show_model"), _is_ours, methods=["GET"]),
        Route("/v1/messages", _deferred("routes", "create_message"), methods=["POST"]),
        Route("/v1/messages/count_tokens", _deferred("routes", "count_tokens"), methods=["POST"]),
        Route("/v1/messages/batches", _deferred("routes", "not_here"), methods=["GET", "POST"]),
        Route("/v1/messages/batches/{batch_id}", _deferred("routes", "not_here"), methods=["GET", "DELETE"]),
        Route("/v1/messages/batches/{batch_id}/cancel", _deferred("routes", "not_here"), methods=["POST"]),
        Route("/v1/messages/batches/{batch_id}/results", _deferred("routes", "not_here"), methods=["GET"]),
        Route("/v1/complete", _deferred("routes", "not_here"), methods=["POST"]),
    ],
    f"{__name__}.errors",
)
