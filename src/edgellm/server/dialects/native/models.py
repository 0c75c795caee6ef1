"""/api/edgellm/models and what is done with one of them."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from edgellm.api.models import (
    CopyRequest,
    LoadOrder,
    ModelRequest,
    ModelStatus,
    PinAnswer,
    PinRequest,
    RemovedAnswer,
    RenameRequest,
    ShowRequest,
    StoredAnswer,
)
from edgellm.bundle.names import parse_name
from edgellm.bundle.opened import OpenBundle
from edgellm.devices.estimate import verdict_of
from edgellm.errors import UsageError
from edgellm.server.http.body import read_json
from edgellm.server.http.operation import MODEL_ERRORS, operation
from edgellm.server.http.responses import JSONResponse, unless_gone
from edgellm.server.models.removal import remove_bundle
from edgellm.server.state import ServerState, state_of
from edgellm.store.records import license_record, list_row, show_record
from edgellm.store.store import Store

__all__ = ["copy", "delete", "list_models", "load", "pin", "rename", "show"]

_CARD_NAMES = ("readme.md", "model_card.md", "modelcard.md")
_PATHS = ("weights_path", "adapter_paths")  # of this machine: no affair of a client's


@operation(answer=dict[str, Any])
async def list_models(request: Request) -> Response:
    """Every bundle of the store, what it needs and whether that is there, and whether it is loaded."""
    state = state_of(request)
    rows = await asyncio.to_thread(state.store.list)
    room = await state.models.room()
    statuses = {status.digest: status for status in await state.models.statuses()}
    models = []
    for stored in rows:
        plan, status = stored.plan, statuses.get(stored.digest)
        needed = None if plan is None else plan.predicted_memory.total_bytes
        row = list_row(stored)
        if row.get("problem") is not None:
            row["problem"] = state.conceal.text(row["problem"])
        models.append(
            {
                **row,
                "format": None if plan is None else plan.model_format,
                "needed_bytes": needed,
                "fit": None if needed is None else verdict_of(needed, room.models_bytes),
                "predicted_decode": None if plan is None else plan.predicted_decode,
                "last_decode_tokens_per_s": state.telemetry.last_decode.get(stored.full_name),
                "pinned": stored.full_name in state.models.pins,
                "state": None if status is None else status.state,
            }
        )
    return JSONResponse({"models": models, "memory": room})


@operation(body=ShowRequest, answer=dict[str, Any], errors=(404, 422))
async def show(request: Request) -> Response:
    """One bundle: plan with its reasons, files with digests, licence and model card, and how it is loaded."""
    body = await read_json(request, ShowRequest)
    state = state_of(request)
    bundle = await state.models.resolve(body.model)
    status = next((each for each in await state.models.statuses() if each.digest == bundle.digest), None)
    record = await asyncio.to_thread(_record, state.store, bundle)
    return JSONResponse({**record, "pinned": bundle.name in state.models.pins, "loaded": status})


def _record(store: Store, bundle: OpenBundle) -> dict[str, Any]:
    record = {
        key: value for key, value in show_record(bundle, store.load_smoke(bundle.digest)).items() if key not in _PATHS
    }
    cards = [file.path for file in bundle.bundle.docs if file.path.lower().rpartition("/")[2] in _CARD_NAMES]
    return {
        **record,
        "license_documents": license_record(bundle)["documents"],
        "cards": [{"path": path, "text": bundle.read_doc(path).decode("utf-8", "replace")} for path in cards],
    }


@operation(body=LoadOrder, answer=ModelStatus, errors=MODEL_ERRORS)
async def load(request: Request) -> Response:
    """Load a model. Ends when it is there; who goes away before leaves it unloaded, unless others wait for it."""
    body = await read_json(request, LoadOrder)
    models = state_of(request).models
    loading = models.load(body.model, keep_alive_s=body.keep_alive_s, context=body.context, force=body.force)
    return JSONResponse(await unless_gone(request, loading))


@operation(body=PinRequest, answer=PinAnswer, errors=(404, 422, 507))
async def pin(request: Request) -> Response:
    """Keep a model in memory, over restarts too, or no longer."""
    body = await read_json(request, PinRequest)
    name = await state_of(request).models.pin(body.model, body.pinned)
    return JSONResponse(PinAnswer(name, body.pinned))


@operation(body=CopyRequest, answer=StoredAnswer, errors=(404, 422, 507))
async def copy(request: Request) -> Response:
    """Give a bundle a second name; it is one model in memory under both."""
    body = await read_json(request, CopyRequest)
    state = state_of(request)
    bundle = await state.models.resolve(body.model)
    name = parse_name(body.name, default_tag=_tag_of(bundle))
    digest = await asyncio.to_thread(state.store.copy, bundle.name, name)
    return JSONResponse(StoredAnswer(str(name), digest))


@operation(body=RenameRequest, answer=StoredAnswer, errors=(403, 404, 422, 507))
async def rename(request: Request) -> Response:
    """Give a bundle another name. What is loaded of it goes on."""
    body = await read_json(request, RenameRequest)
    state = state_of(request)
    bundle = await state.models.resolve(body.model)
    name = parse_name(body.name, default_tag=_tag_of(bundle))
    digest = await asyncio.to_thread(state.store.rename, bundle.name, name)
    await state.models.renamed(bundle.name, str(name))
    return JSONResponse(StoredAnswer(str(name), digest))


@operation(body=ModelRequest, answer=RemovedAnswer, errors=(403, 404, 422, 507))
async def delete(request: Request) -> Response:
    """Take a bundle out of the store, with its former version and with what was saved for it.

    The model is unloaded once its requests are done; the space of its files comes back with the next ``gc``, or at
    once where nobody holds them.
    """
    body = await read_json(request, ModelRequest)
    state = state_of(request)
    bundle = await state.models.resolve(body.model)
    removed = await asyncio.to_thread(remove_bundle, state.store, state.settings.paths.prefixes, bundle.name)
    for name in removed:
        await state.models.removed(name)
    freed = await asyncio.to_thread(_gc, state)
    return JSONResponse(RemovedAnswer(removed, freed))


def _gc(state: ServerState) -> int:
    return state.store.gc().freed_bytes


def _tag_of(bundle: OpenBundle) -> str:
    tag = bundle.name.rpartition(":")[2].partition("@")[0]
    if not tag:
        raise UsageError(f"{bundle.name} has no tag", hint="give the new name as NAME:TAG")
    return tag
