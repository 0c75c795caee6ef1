"""The API of Ollama: /api/generate, /api/chat and all that its clients manage models with."""

from __future__ import annotations

from functools import partial

from starlette.routing import Route

from edgellm.server.http.deferred import deferred
from edgellm.server.http.dialect import Dialect

__all__ = ["OLLAMA"]

_deferred = partial(deferred, __name__)

OLLAMA = Dialect(
    "ollama",
    ("/api/",),
    [
        Route("/", _deferred("root", "root"), methods=["GET"]),  # starlette adds HEAD
        Route("/api/version", _deferred("root", "version"), methods=["GET"]),
        Route("/api/generate", _deferred("generate", "generate"), methods=["POST"]),
        Route("/api/chat", _deferred("chat", "chat"), methods=["POST"]),
        Route("/api/embed", _deferred("embed", "embed"), methods=["POST"]),
        Route("/api/embeddings", _deferred("embed", "embeddings"), methods=["POST"]),
        Route("/api/tags", _deferred("listing", "tags"), methods=["GET"]),
        Route("/api/ps", _deferred("listing", "ps"), methods=["GET"]),
        Route("/api/show", _deferred("show", "show"), methods=["POST"]),
        Route("/api/create", _deferred("create", "create"), methods=["POST"]),
        Route("/api/pull", _deferred("pull", "pull"), methods=["POST"]),
        Route("/api/push", _deferred("managing", "push"), methods=["POST"]),
        Route("/api/copy", _deferred("managing", "copy"), methods=["POST"]),
        Route("/api/delete", _deferred("managing", "delete"), methods=["DELETE"]),
        Route("/api/blobs/{digest}", _deferred("blobs", "blob"), methods=["HEAD", "POST"]),
    ],
    f"{__name__}.errors",
    keyless=("/", "/api/version"),
)
