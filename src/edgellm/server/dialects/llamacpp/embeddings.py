"""Vectors of texts, in llama-server's own form."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from edgellm.errors import UnsupportedError, UsageError
from edgellm.server.dialects.llamacpp.prompts import prompt_tokens, separate_prompts
from edgellm.server.dialects.llamacpp.requests import EmbeddingBody
from edgellm.server.dialects.llamacpp.responses import TextEmbedding
from edgellm.server.dialects.llamacpp.which import model_name
from edgellm.server.http.body import read_json
from edgellm.server.http.operation import MODEL_ERRORS, operation
from edgellm.server.http.responses import JSONResponse, unless_gone
from edgellm.server.state import state_of

__all__ = ["embed"]

_EUCLIDEAN, _NONE = 2, -1


@operation(body=EmbeddingBody, answer=list[TextEmbedding], errors=MODEL_ERRORS)
async def embed(request: Request) -> Response:
    """The vector of each text."""
    body = await read_json(request, EmbeddingBody)
    if body.embd_normalize not in (_EUCLIDEAN, _NONE):
        raise UnsupportedError(
            f"embd_normalize {body.embd_normalize} is not available here", hint="2 is the Euclidean norm, -1 none"
        )
    texts = body.input if body.content is None else body.content
    if texts is None:
        raise UsageError('"input" or "content" must be there')
    return JSONResponse(await unless_gone(request, _embedded(request, body, separate_prompts(texts))))


async def _embedded(request: Request, body: EmbeddingBody, texts: list[object]) -> list[TextEmbedding]:
    name = await model_name(request, body.model)
    async with state_of(request).models.use(name) as model:
        tokens = [await prompt_tokens(model.engine, text) for text in texts]
        found = await model.engine.embed(tokens, normalise=body.embd_normalize == _EUCLIDEAN)
    return [TextEmbedding(index, [vector.tolist()]) for index, vector in enumerate(found.vectors)]
