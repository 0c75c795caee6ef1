"""GET /api/tags and GET /api/ps"""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import UTC, datetime

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from edgellm.bundle.digest import digest_hex
from edgellm.errors import EdgeLLMError
from edgellm.server.dialects.ollama.details import ListedModel, ModelDetails, details, listed
from edgellm.server.http.operation import operation
from edgellm.server.http.responses import JSONResponse
from edgellm.server.state import state_of
from edgellm.store.store import Store

__all__ = ["ps", "tags"]

_FAR_S = 100 * 365 * 86400.0  # for a model that stays for ever: clients want a date


class RunningModel(msgspec.Struct, frozen=True):
    """One row of /api/ps. ``size`` is memory, ``size_vram`` the part of it on an accelerator."""

    name: str
    model: str
    size: int
    digest: str
    details: ModelDetails
    expires_at: str
    size_vram: int
    context_length: int


class TagsAnswer(msgspec.Struct, frozen=True):
    """The models of the store."""

    models: list[ListedModel]


class PsAnswer(msgspec.Struct, frozen=True):
    """The models that are loaded."""

    models: list[RunningModel]


@operation(answer=TagsAnswer)
async def tags(request: Request) -> Response:
    """The models of the store, the newest first. Damaged ones are left out: they cannot be used."""
    rows = await asyncio.to_thread(_rows, state_of(request).store)
    return JSONResponse(TagsAnswer(sorted(rows, key=lambda row: row.modified_at, reverse=True)))


@operation(answer=PsAnswer)
async def ps(request: Request) -> Response:
    """The models that are loaded."""
    models, rows = state_of(request).models, []
    for status in await models.statuses():
        if status.state == "loading":
            continue
        with contextlib.suppress(EdgeLLMError):  # what serves it was removed from the store
            bundle = await models.resolve(status.name)
            left_s = _FAR_S if status.keep_alive_s is not None and status.keep_alive_s < 0 else status.keep_alive_s
            if status.expires_in_s is not None:
                left_s = status.expires_in_s
            expires = datetime.fromtimestamp(time.time() + min(left_s or 0.0, _FAR_S), UTC)
            rows.append(
                RunningModel(
                    name=status.name,
                    model=status.name,
                    size=status.needed_bytes or 0,
                    digest=digest_hex(status.digest),
                    details=await asyncio.to_thread(details, bundle),
                    expires_at=expires.isoformat().replace("+00:00", "Z"),
                    size_vram=0,
                    context_length=status.context or bundle.plan.context,
                )
            )
    return JSONResponse(PsAnswer(rows))


def _rows(store: Store) -> list[ListedModel]:
    rows = []
    for stored in store.list():
        if stored.problem is None:
            with contextlib.suppress(EdgeLLMError):  # it was removed meanwhile
                rows.append(listed(store.resolve(stored.full_name)))
    return rows
