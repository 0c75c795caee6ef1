"""Handlers that are imported when they are first asked for: a server answers before it loads what may never be used."""

from __future__ import annotations

import asyncio
import functools
import importlib
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

__all__ = ["deferred", "the_handler"]

Handler = Callable[[Request], Awaitable[Response]]
_ATTRIBUTE = "edgellm_deferred"


@functools.cache
def deferred(package: str, module: str, name: str) -> Handler:
    """The handler ``name`` of ``module`` in ``package``; the same three give the same object.

    The module is imported in a thread: answers that are being streamed go on meanwhile.
    """

    path = f"{package}.{module}"

    async def handle(request: Request) -> Response:
        found = load() if path in sys.modules else await asyncio.to_thread(load)
        return await found(request)

    def load() -> Handler:
        found: Handler = getattr(importlib.import_module(path), name)
        return found

    setattr(handle, _ATTRIBUTE, load)
    return handle


def the_handler(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """What ``endpoint`` stands for, imported now; itself where it was not deferred."""
    load = getattr(endpoint, _ATTRIBUTE, None)
    return endpoint if load is None else load()
