"""Anthropic's Messages API, for its clients and the programs built on them."""

from __future__ import annotations

from starlette.routing import Route

from edgellm.server.dialects.anthropic.errors import error_answer
from edgellm.server.dialects.anthropic.responses import ErrorAnswer
from edgellm.server.dialects.anthropic.routes import count_tokens, create_message, not_here
from edgellm.server.http.dialect import Dialect

__all__ = ["ANTHROPIC"]

ANTHROPIC = Dialect(
    "anthropic",
    ("/v1/messages", "/v1/complete"),
    [
        Route("/v1/messages", create_message, methods=["POST"]),
        Route("/v1/messages/count_tokens", count_tokens, methods=["POST"]),
        Route("/v1/messages/batches", not_here, methods=["GET", "POST"]),
        Route("/v1/messages/batches/{batch_id}", not_here, methods=["GET", "DELETE"]),
        Route("/v1/messages/batches/{batch_id}/cancel", not_here, methods=["POST"]),
        Route("/v1/messages/batches/{batch_id}/results", not_here, methods=["GET"]),
        Route("/v1/complete", not_here, methods=["POST"]),
    ],
    error_answer,
    ErrorAnswer,
)
