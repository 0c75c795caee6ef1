"""OpenAI's API: chats, completions, embeddings, responses and models under /v1.

https://platform.openai.com/docs/api-reference
"""

from __future__ import annotations

from functools import partial

from starlette.routing import Route

from edgellm.server.http.deferred import deferred
from edgellm.server.http.dialect import Dialect

__all__ = ["OPENAI"]

_NOT_HERE = (
    "/v1/assistants",
    "/v1/audio",
    "/v1/batches",
    "/v1/conversations",
    "/v1/files",
    "/v1/fine_tuning",
    "/v1/images",
    "/v1/moderations",
    "/v1/realtime",
    "/v1/threads",
    "/v1/uploads",
    "/v1/vector_stores",
    "/v1/videos",
)
_NOT_KEPT = ("/v1/chat/completions", "/v1/responses")
_METHODS = ["GET", "POST", "DELETE"]

_deferred = partial(deferred, __name__)

OPENAI = Dialect(
    "openai",
    ("/v1",),
    [
        Route("/v1/chat/completions", _deferred("chat.route", "create_chat_completion"), methods=["POST"]),
        Route("/v1/completions", _deferred("completions.route", "create_completion"), methods=["POST"]),
        Route("/v1/embeddings", _deferred("embeddings", "create_embeddings"), methods=["POST"]),
        Route("/v1/responses", _deferred("responses.route", "create_response"), methods=["POST"]),
        Route("/v1/models", _deferred("models", "list_models"), methods=["GET"]),
        Route("/v1/models/{model:path}", _deferred("models", "show_model"), methods=["GET"]),
        *(Route(path, _deferred("absent", "not_kept"), methods=["GET", "DELETE"]) for path in _NOT_KEPT),
        *(
            Route(f"{path}/{{id}}", _deferred("absent", "not_kept"), methods=["GET", "POST", "DELETE"])
            for path in _NOT_KEPT
        ),
        *(
            Route(f"{path}/{{id}}/{{rest:path}}", _deferred("absent", "not_here"), methods=_METHODS)
            for path in _NOT_KEPT
        ),
        *(Route(path, _deferred("absent", "not_here"), methods=_METHODS) for path in _NOT_HERE),
        *(Route(f"{path}/{{rest:path}}", _deferred("absent", "not_here"), methods=_METHODS) for path in _NOT_HERE),
    ],
    f"{__name__}.errors",
)
