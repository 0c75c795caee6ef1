"""POST /api/embed and the older POST /api/embeddings"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from edgellm.errors import UsageError
from edgellm.server.dialects.ollama.answering import using
from edgellm.server.dialects.ollama.durations import parse_keep_alive
from edgellm.server.dialects.ollama.errors import model_name
from edgellm.server.dialects.ollama.messages import EmbedBody, EmbeddingsBody
from edgellm.server.dialects.ollama.options import asked_context, check_options
from edgellm.server.http.body import read_json
from edgellm.server.http.operation import MODEL_ERRORS, operation
from edgellm.server.http.responses import JSONResponse, unless_gone
from edgellm.server.models.loaded import LoadedModel
from edgellm.server.state import state_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["embed", "embeddings"]

_NS = 1_000_000_000


class EmbedAnswer(msgspec.Struct, frozen=True):
    """Vectors of length 1. Durations are nanoseconds."""

    model: str
    embeddings: list[list[float]]
    total_duration: int
    load_duration: int
    prompt_eval_count: int


class EmbeddingsAnswer(msgspec.Struct, frozen=True):
    """One vector."""

    embedding: list[float]


@operation(body=EmbedBody, answer=EmbedAnswer, errors=MODEL_ERRORS)
async def embed(request: Request) -> Response:
    """The vectors of one or more texts, each of length 1."""
    begun = time.monotonic()
    body = await read_json(request, EmbedBody)
    name = model_name(body)
    texts = [body.input] if isinstance(body.input, str) else list(body.input or ())
    if body.dimensions is not None and body.dimensions < 0:
        raise UsageError(f"dimensions is {body.dimensions}; it must be the length of a vector")

    async def work() -> Response:
        async with using(
            state_of(request), name, parse_keep_alive(body.keep_alive), asked_context(check_options(body.options))
        ) as model:
            vectors, n_tokens = await _vectors(model, texts, truncate=body.truncate is not False)
            return JSONResponse(
                EmbedAnswer(
                    model=name,
                    embeddings=[] if vectors is None else _shortened(vectors, body.dimensions or 0).tolist(),
                    total_duration=int((time.monotonic() - begun) * _NS),
                    load_duration=int(model.load_s * _NS),
                    prompt_eval_count=n_tokens,
                )
            )

    return await unless_gone(request, work())


@operation(body=EmbeddingsBody, answer=EmbeddingsAnswer, errors=MODEL_ERRORS)
async def embeddings(request: Request) -> Response:
    """The vector of one text."""
    body = await read_json(request, EmbeddingsBody)
    name = model_name(body)

    async def work() -> Response:
        async with using(
            state_of(request), name, parse_keep_alive(body.keep_alive), asked_context(check_options(body.options))
        ) as model:
            vectors, _n_tokens = await _vectors(model, [body.prompt] if body.prompt else [], truncate=True)
            return JSONResponse(EmbeddingsAnswer([] if vectors is None else vectors[0].tolist()))

    return await unless_gone(request, work())


async def _vectors(
    model: LoadedModel, texts: Sequence[str], *, truncate: bool
) -> tuple[npt.NDArray[np.float32] | None, int]:
    """float32 [texts, n_embd] and the number of tokens; None without texts."""
    if not texts:
        return None, 0
    if not all(texts):
        raise UsageError("a text of the input is empty")
    found = await model.engine.embed(texts, truncate=truncate)
    return found.vectors, sum(found.n_tokens)


def _shortened(vectors: npt.NDArray[np.float32], dimensions: int) -> npt.NDArray[np.float32]:
    """The first ``dimensions`` of each vector, with a length of 1 again."""
    import numpy as np

    if not 0 < dimensions < vectors.shape[1]:
        return vectors
    cut = vectors[:, :dimensions]
    lengths = np.linalg.norm(cut, axis=1, keepdims=True)
    return (cut / np.where(lengths > 0, lengths, 1)).astype(np.float32)
