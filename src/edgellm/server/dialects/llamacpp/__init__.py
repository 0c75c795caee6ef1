"""llama-server's own routes, so that its clients and scripts work unchanged."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edgellm.errors import UnsupportedError
from edgellm.server.dialects.llamacpp.adapters import list_adapters, scale_adapters
from edgellm.server.dialects.llamacpp.embeddings import embed
from edgellm.server.dialects.llamacpp.errors import error_answer
from edgellm.server.dialects.llamacpp.props import props, slots
from edgellm.server.dialects.llamacpp.responses import ErrorAnswer
from edgellm.server.dialects.llamacpp.routes import apply_template, complete, detokenize, tokenize
from edgellm.server.http.dialect import Dialect
from edgellm.server.http.operation import operation
from edgellm.server.http.responses import JSONResponse
from edgellm.server.models.health import Health, server_health
from edgellm.server.state import state_of

__all__ = ["LLAMACPP"]


@operation(answer=Health)
async def health(request: Request) -> Response:
    """That the server answers, and how its models are."""
    return JSONResponse(server_health(state_of(request).models))


@operation(errors=(501,), statuses=())
async def not_here(request: Request) -> Response:
    """A route of llama-server's that this server does not have."""
    raise UnsupportedError(f"{request.method} {request.url.path} is not available here")


LLAMACPP = Dialect(
    "llamacpp",
    (
        *("/completion", "/tokenize", "/detokenize", "/apply-template", "/props", "/slots", "/health", "/v1/health"),
        *("/embedding", "/lora-adapters", "/infill", "/rerank"),
    ),
    [
        Route("/health", health, methods=["GET"]),
        Route("/v1/health", health, methods=["GET"]),
        Route("/completion", complete, methods=["POST"]),
        Route("/completions", complete, methods=["POST"]),
        Route("/tokenize", tokenize, methods=["POST"]),
        Route("/detokenize", detokenize, methods=["POST"]),
        Route("/apply-template", apply_template, methods=["POST"]),
        Route("/embedding", embed, methods=["POST"]),
        Route("/embeddings", embed, methods=["POST"]),
        Route("/props", props, methods=["GET"]),
        Route("/props", not_here, methods=["POST"]),
        Route("/slots", slots, methods=["GET"]),
        Route("/slots/{id_slot}", not_here, methods=["POST"]),
        Route("/lora-adapters", list_adapters, methods=["GET"]),
        Route("/lora-adapters", scale_adapters, methods=["POST"]),
        Route("/infill", not_here, methods=["POST"]),
        Route("/rerank", not_here, methods=["POST"]),
        Route("/reranking", not_here, methods=["POST"]),
    ],
    error_answer,
    error=ErrorAnswer,
    keyless=("/health", "/v1/health"),
)
