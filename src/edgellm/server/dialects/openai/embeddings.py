"""POST /v1/embeddings"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from edgellm.errors import UsageError
from edgellm.server.dialects.openai.options import AdapterName
from edgellm.server.dialects.openai.texts import Texts, read_texts
from edgellm.server.http.body import read_json
from edgellm.server.http.operation import MODEL_ERRORS, operation
from edgellm.server.http.responses import JSONResponse, unless_gone
from edgellm.server.state import ServerState, state_of
from edgellm_runtimes.generation import AdapterUse

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["Embedding", "EmbeddingUsage", "EmbeddingsAnswer", "EmbeddingsBody", "create_embeddings"]

_MOST_INPUTS = 2048


class EmbeddingsBody(msgspec.Struct, kw_only=True):
    """The body of POST /v1/embeddings: a text, its token ids, or a list of either."""

    model: str
    input: Texts
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None
    user: str | None = None
    adapters: tuple[AdapterName, ...] = ()
    keep_alive: float | None = None


class Embedding(msgspec.Struct):
    """The vector of one text; in base64 its numbers are float32, the lowest byte first."""

    index: int
    embedding: list[float] | str
    object: str = "embedding"


class EmbeddingUsage(msgspec.Struct):
    """Tokens of all texts."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsAnswer(msgspec.Struct):
    """The vectors of all texts, in their order."""

    data: list[Embedding]
    model: str
    usage: EmbeddingUsage
    object: str = "list"


@operation(body=EmbeddingsBody, answer=EmbeddingsAnswer, errors=MODEL_ERRORS)
async def create_embeddings(request: Request) -> Response:
    """Give the vectors of texts."""
    body = await read_json(request, EmbeddingsBody)
    return JSONResponse(await unless_gone(request, _embed(state_of(request), body)))


async def _embed(state: ServerState, body: EmbeddingsBody) -> EmbeddingsAnswer:
    texts = read_texts(body.input, "input", _MOST_INPUTS)
    adapters = [AdapterUse(adapter.name, adapter.scale) for adapter in body.adapters]
    async with state.models.use(body.model, keep_alive_s=body.keep_alive) as model:
        if body.dimensions is not None and not 1 <= body.dimensions <= model.engine.facts.n_embd:
            raise UsageError(f"dimensions is {body.dimensions}; vectors of this model have {model.engine.facts.n_embd}")
        found = await model.engine.embed(texts, adapters=adapters)
        n_tokens = sum(found.n_tokens)
        vectors = found.vectors if body.dimensions is None else _shortened(found.vectors, body.dimensions)
        return EmbeddingsAnswer(
            [Embedding(index, _written(vector, body)) for index, vector in enumerate(vectors)],
            model.name,
            EmbeddingUsage(n_tokens, n_tokens),
        )


def _shortened(vectors: npt.NDArray[np.float32], dimensions: int) -> npt.NDArray[np.float32]:
    """The first numbers of each vector, at a length of 1 again (Kusupati et al., NeurIPS 2022)."""
    import numpy as np

    cut = vectors[:, :dimensions]
    lengths = np.linalg.norm(cut, axis=1, keepdims=True)
    shortened: npt.NDArray[np.float32] = (cut / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return shortened


def _written(vector: npt.NDArray[np.float32], body: EmbeddingsBody) -> list[float] | str:
    if body.encoding_format == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")
    numbers: list[float] = vector.tolist()
    return numbers
