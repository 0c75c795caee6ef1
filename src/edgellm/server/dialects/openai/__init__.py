"""OpenAI's API: chats, completions, embeddings, responses and models under /v1.

https://platform.openai.com/docs/api-reference
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edgellm.errors import UnsupportedError
from edgellm.server.dialects.openai.chat.route import create_chat_completion
from edgellm.server.dialects.openai.completions.route import create_completion
from edgellm.server.dialects.openai.embeddings import create_embeddings
from edgellm.server.dialects.openai.errors import ErrorAnswer, error_body
from edgellm.server.dialects.openai.models import list_models, show_model
from edgellm.server.dialects.openai.responses.route import create_response
from edgellm.server.http.dialect import Dialect
from edgellm.server.http.operation import operation

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


@operation(documented=False)
async def not_here(request: Request) -> Response:
    """A route of OpenAI's that this server does not have."""
    raise UnsupportedError(f"{request.method} {request.url.path} is not available here")


@operation(errors=(501,), statuses=())
async def not_kept(request: Request) -> Response:
    """Chats and responses of before: this server keeps none."""
    raise UnsupportedError(f"{request.url.path} keeps nothing that could be asked for with {request.method}")


OPENAI = Dialect(
    "openai",
    ("/v1",),
    [
        Route("/v1/chat/completions", create_chat_completion, methods=["POST"]),
        Route("/v1/completions", create_completion, methods=["POST"]),
        Route("/v1/embeddings", create_embeddings, methods=["POST"]),
        Route("/v1/responses", create_response, methods=["POST"]),
        Route("/v1/models", list_models, methods=["GET"]),
        Route("/v1/models/{model:path}", show_model, methods=["GET"]),
        *(Route(path, not_kept, methods=["GET", "DELETE"]) for path in _NOT_KEPT),
        *(Route(f"{path}/{{id}}", not_kept, methods=["GET", "POST", "DELETE"]) for path in _NOT_KEPT),
        *(Route(f"{path}/{{id}}/{{rest:path}}", not_here, methods=_METHODS) for path in _NOT_KEPT),
        *(Route(path, not_here, methods=_METHODS) for path in _NOT_HERE),
        *(Route(f"{path}/{{rest:path}}", not_here, methods=_METHODS) for path in _NOT_HERE),
    ],
    error_body,
    error=ErrorAnswer,
)
