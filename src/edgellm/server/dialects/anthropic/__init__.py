"""Anthropic's Messages API, for its clients and the programs built on them."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.routing import Route

from edgellm.server.dialects.anthropic.errors import error_answer
from edgellm.server.dialects.anthropic.models import list_models, show_model
from edgellm.server.dialects.anthropic.responses import ErrorAnswer
from edgellm.server.dialects.anthropic.routes import count_tokens, create_message, not_here
from edgellm.server.http.dialect import Dialect
from edgellm.server.http.routing import RouteWhere

__all__ = ["ANTHROPIC"]


def _is_ours(headers: Headers) -> bool:
    return "anthropic-version" in headers


ANTHROPIC = Dialect(
    "anthropic",
    ("/v1/messages", "/v1/complete"),
    [
        RouteWhere("/v1/models", list_models, _is_ours, methods=["GET"]),
        RouteWhere("/v1/models/{model:path}", show_model, _is_ours, methods=["GET"]),
        Route("/v1/messages", create_message, methods=["POST"]),
        Route("/v1/messages/count_tokens", count_tokens, methods=["POST"]),
        Route("/v1/messages/batches", not_here, methods=["GET", "POST"]),
        Route("/v1/messages/batches/{batch_id}", not_here, methods=["GET", "DELETE"]),
        Route("/v1/messages/batches/{batch_id}/cancel", not_here, methods=["POST"]),
        Route("/v1/messages/batches/{batch_id}/results", not_here, methods=["GET"]),
        Route("/v1/complete", not_here, methods=["POST"]),
    ],
    error_answer,
    error=ErrorAnswer,
)
