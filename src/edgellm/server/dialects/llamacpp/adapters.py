"""LoRA adapters by number, with scales that a caller sets for the requests that follow."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from edgellm.server.caller import caller_of
from edgellm.server.dialects.llamacpp.asked import adapter_uses
from edgellm.server.dialects.llamacpp.requests import AdapterScale, CompletionBody
from edgellm.server.dialects.llamacpp.responses import Applied
from edgellm.server.dialects.llamacpp.which import MODEL_QUERY, QUERY_ERRORS, model_name
from edgellm.server.http.body import read_json
from edgellm.server.http.operation import MODEL_ERRORS, operation
from edgellm.server.http.responses import JSONResponse
from edgellm.server.models.loaded import LoadedModel
from edgellm.server.state import state_of

__all__ = ["AdapterInfo", "list_adapters", "scale_adapters", "with_own_scales"]

Scales = dict[tuple[str, str], tuple[AdapterScale, ...]]


class AdapterInfo(msgspec.Struct, frozen=True):
    """An adapter of the model; ``path`` is its name in the bundle."""

    id: int
    path: str
    scale: float
    task_name: str = ""
    prompt_prefix: str = ""


@operation(answer=list[AdapterInfo], query=(MODEL_QUERY,), errors=QUERY_ERRORS)
async def list_adapters(request: Request) -> Response:
    """The adapters of a model, with the scales that hold for this caller."""
    async with state_of(request).models.use(await model_name(request, None)) as model:
        scales = {each.id: each.scale for each in _own(request, model)}
        names = model.engine.info.adapters
    return JSONResponse([AdapterInfo(number, name, scales.get(number, 0.0)) for number, name in enumerate(names)])


@operation(body=tuple[AdapterScale, ...], answer=Applied, query=(MODEL_QUERY,), errors=MODEL_ERRORS)
async def scale_adapters(request: Request) -> Response:
    """Set the scales for the caller's requests that name none; an adapter that is left out is off."""
    scales = await read_json(request, tuple[AdapterScale, ...])
    async with state_of(request).models.use(await model_name(request, None)) as model:
        adapter_uses(model.engine, scales)
        _all(request)[_key(request, model)] = scales
    return JSONResponse(Applied(True))


def with_own_scales(request: Request, model: LoadedModel, body: CompletionBody) -> CompletionBody:
    """``body``, with the caller's scales where it names none."""
    own = _own(request, model)
    return msgspec.structs.replace(body, lora=own) if body.lora is None and own else body


def _own(request: Request, model: LoadedModel) -> tuple[AdapterScale, ...]:
    return _all(request).get(_key(request, model), ())


def _key(request: Request, model: LoadedModel) -> tuple[str, str]:
    return caller_of(request).name, model.bundle.digest


def _all(request: Request) -> Scales:
    state = request.app.state
    if not hasattr(state, "llamacpp_scales"):
        state.llamacpp_scales = {}
    scales: Scales = state.llamacpp_scales
    return scales
