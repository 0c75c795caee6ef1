"""Requests over a Unix socket that are cancelled just as something comes."""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["forgive_cancelled_reads"]


def forgive_cancelled_reads() -> None:
    """Have the running loop say nothing of a read that was cancelled when its bytes were there already.

    anyio (up to 4.16) then sets the result of a future that is cancelled, which changes nothing, and which asyncio
    would print with a traceback over what the terminal shows.
    """
    loop = asyncio.get_running_loop()
    if loop.get_exception_handler() is None:
        loop.set_exception_handler(_handle)


def _handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    is_late = isinstance(context.get("exception"), asyncio.InvalidStateError)
    if not (is_late and "Future.set_result" in context["message"]):
        loop.default_exception_handler(context)
