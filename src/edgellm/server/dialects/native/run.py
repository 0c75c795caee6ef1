"""POST /api/edgellm/run: chunks as the engine makes them, one JSON object a line."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from edgellm.api.errors import ErrorText
from edgellm.api.run import RunChunk, RunFailure, RunLine, RunRequest, RunStart
from edgellm.errors import EdgeLLMError, UsageError
from edgellm.server.caller import caller_of
from edgellm.server.dialects.native.sampling import chosen_sampling
from edgellm.server.http.body import read_json
from edgellm.server.http.concealing import Concealer
from edgellm.server.http.operation import MODEL_ERRORS, operation
from edgellm.server.http.responses import StreamResponse, unless_gone
from edgellm.server.models.loaded import LoadedModel
from edgellm.server.models.manager import ModelManager
from edgellm.server.state import state_of
from edgellm.server.telemetry.work import begin_work
from edgellm_runtimes.generation import Chunk, GenerationOptions
from edgellm_runtimes.sampler import TokenLogprobs

__all__ = ["run"]

_LEAST_LOGPROB = -9999.0  # JSON has no infinity


@operation(body=RunRequest, answer="application/x-ndjson", errors=MODEL_ERRORS)
async def run(request: Request) -> Response:
    """An answer exactly as `edgellm run` would make it in its own process."""
    body = await read_json(request, RunRequest)
    if body.messages is not None and body.prompt is not None:
        raise UsageError("give either messages or a prompt")
    state = state_of(request)
    lines = _lines(state.models, body, caller_of(request).scope)
    try:
        # what fails before the first token has a status of its own
        first = await unless_gone(request, _take(lines, 1 if body.messages is None and body.prompt is None else 2))
    except BaseException:
        await lines.aclose()
        raise
    return StreamResponse(_encoded(first, lines, state.conceal), "application/x-ndjson")


async def _take(lines: AsyncGenerator[RunLine, None], count: int) -> list[RunLine]:
    taken: list[RunLine] = []
    async for line in lines:
        taken.append(line)
        if len(taken) == count:
            break
    return taken


async def _encoded(
    first: list[RunLine], lines: AsyncGenerator[RunLine, None], conceal: Concealer
) -> AsyncGenerator[bytes, None]:
    async with contextlib.aclosing(lines):
        yield b"".join(map(_line, first))
        try:
            async for line in lines:
                yield _line(line)
        except EdgeLLMError as error:
            told = conceal.error(error)
            text = ErrorText(told.message, told.hint, error.http_status, type(error).__name__)
            yield _line(RunFailure(text))


def _line(line: RunLine) -> bytes:
    return msgspec.json.encode(line) + b"\n"


async def _lines(models: ModelManager, body: RunRequest, scope: str) -> AsyncGenerator[RunLine, None]:
    async with models.use(body.model, context=body.context) as model:
        yield RunStart(name=model.name, digest=model.bundle.digest, info=model.told_info, note=model.note)
        params = model.engine.params(**chosen_sampling(body.sampling))
        options = msgspec.structs.replace(body.options, sampling=params, scope=scope)
        if (chunks := _chunks(model, body, options)) is None:
            return
        async with begin_work(model, options.choices) as work, contextlib.aclosing(chunks):
            async for chunk in chunks:
                work.arrived((chunk,))
                yield await _with_texts(model, chunk) if chunk.logprobs else RunChunk(chunk)


def _chunks(model: LoadedModel, body: RunRequest, options: GenerationOptions) -> AsyncGenerator[Chunk, None] | None:
    if body.messages is not None:
        return model.engine.chat(body.messages, options=options)
    if body.prompt is not None:
        return model.engine.generate(body.prompt, options=options)
    return None


async def _with_texts(model: LoadedModel, chunk: Chunk) -> RunChunk:
    tokens = {*chunk.token_ids, *(token for entry in chunk.logprobs for token, _ in entry.top)}
    ordered = sorted(tokens)
    texts = await model.engine.in_thread(model.engine.token_texts, ordered)
    finite = tuple(
        TokenLogprobs(
            max(entry.chosen, _LEAST_LOGPROB), [(token, max(each, _LEAST_LOGPROB)) for token, each in entry.top]
        )
        for entry in chunk.logprobs
    )
    return RunChunk(msgspec.structs.replace(chunk, logprobs=finite), dict(zip(ordered, texts, strict=True)))
