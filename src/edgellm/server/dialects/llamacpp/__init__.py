"""llama-server's own routes, so that its clients and scripts work unchanged."""

from __future__ import annotations

from functools import partial

from starlette.routing import Route

from edgellm.server.http.deferred import deferred
from edgellm.server.http.dialect import Dialect

__all__ = ["LLAMACPP"]

_deferred = partial(deferred, __name__)

LLAMACPP = Dialect(
    "llamacpp",
    (
        *("/completion", "/tokenize", "/detokenize", "/apply-template", "/props", "/slots", "/health", "/v1/health"),
        *("/embedding", "/lora-adapters", "/infill", "/rerank", "/v1/rerank"),
    ),
    [
        Route("/health", _deferred("health", "health"), methods=["GET"]),
        Route("/v1/health", _deferred("health", "health"), methods=["GET"]),
        Route("/completion", _deferred("routes", "complete"), methods=["POST"]),
        Route("/completions", _deferred("routes", "complete"), methods=["POST"]),
        Route("/tokenize", _deferred("routes", "tokenize"), methods=["POST"]),
        Route("/detokenize", _deferred("routes", "detokenize"), methods=["POST"]),
        Route("/apply-template", _deferred("routes", "apply_template"), methods=["POST"]),
        Route("/embedding", _deferred("embeddings", "embed"), methods=["POST"]),
        Route("/embeddings", _deferred("embeddings", "embed"), methods=["POST"]),
        Route("/props", _deferred("props", "props"), methods=["GET"]),
        Route("/props", _deferred("health", "not_here"), methods=["POST"]),
        Route("/slots", _deferred("props", "slots"), methods=["GET"]),
        Route("/slots/{id_slot}", _deferred("health", "not_here"), methods=["POST"]),
        Route("/lora-adapters", _deferred("adapters", "list_adapters"), methods=["GET"]),
        Route("/lora-adapters", _deferred("adapters", "scale_adapters"), methods=["POST"]),
        Route("/infill", _deferred("health", "not_here"), methods=["POST"]),
        Route("/rerank", _deferred("health", "not_here"), methods=["POST"]),
        Route("/reranking", _deferred("health", "not_here"), methods=["POST"]),
        Route("/v1/rerank", _deferred("health", "not_here"), methods=["POST"]),
        Route("/v1/reranking", _deferred("health", "not_here"), methods=["POST"]),
    ],
    f"{__name__}.errors",
    keyless=("/health", "/v1/health"),
)
