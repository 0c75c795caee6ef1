"""The API of Ollama: /api/generate, /api/chat and all that its clients manage models with."""

from __future__ import annotations

from starlette.routing import Route

from edgellm.server.dialects.ollama.blobs import blob
from edgellm.server.dialects.ollama.chat import chat
from edgellm.server.dialects.ollama.create import create
from edgellm.server.dialects.ollama.embed import embed, embeddings
from edgellm.server.dialects.ollama.errors import ErrorAnswer, error_body
from edgellm.server.dialects.ollama.generate import generate
from edgellm.server.dialects.ollama.listing import ps, tags
from edgellm.server.dialects.ollama.managing import copy, delete, push
from edgellm.server.dialects.ollama.pull import pull
from edgellm.server.dialects.ollama.root import root, version
from edgellm.server.dialects.ollama.show import show
from edgellm.server.http.dialect import Dialect

__all__ = ["OLLAMA"]

OLLAMA = Dialect(
    "ollama",
    ("/api/",),
    [
        Route("/", root, methods=["GET"]),  # starlette adds HEAD
        Route("/api/version", version, methods=["GET"]),
        Route("/api/generate", generate, methods=["POST"]),
        Route("/api/chat", chat, methods=["POST"]),
        Route("/api/embed", embed, methods=["POST"]),
        Route("/api/embeddings", embeddings, methods=["POST"]),
        Route("/api/tags", tags, methods=["GET"]),
        Route("/api/ps", ps, methods=["GET"]),
        Route("/api/show", show, methods=["POST"]),
        Route("/api/create", create, methods=["POST"]),
        Route("/api/pull", pull, methods=["POST"]),
        Route("/api/push", push, methods=["POST"]),
        Route("/api/copy", copy, methods=["POST"]),
        Route("/api/delete", delete, methods=["DELETE"]),
        Route("/api/blobs/{digest}", blob, methods=["HEAD", "POST"]),
    ],
    error_body,
    error=ErrorAnswer,
    keyless=("/", "/api/version"),
)
