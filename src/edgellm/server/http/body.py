"""The JSON body of a request as a typed object: bounded in size and time, whatever its sender does."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from edgellm.errors import Interrupted, TooLargeError, TooSlowError, UsageError
from edgellm.server.http.unknown_keys import note_unknown_keys
from edgellm.server.limits import Limits
from edgellm.server.state import state_of
from edgellm.units import format_bytes

__all__ = ["read_body", "read_json"]

Body = TypeVar("Body")
_SLOWEST_BYTES_PER_S = 16 << 10


async def read_json(request: Request, kind: type[Body]) -> Body:
    """The body of ``request``, which must be a ``kind``; keys that it does not know are ignored, and logged.

    Raises UsageError for what is no JSON or of another shape, and what ``read_body`` raises.
    """
    raw = await read_body(request)
    try:
        value = msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise UsageError(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"the body is not JSON: {error}") from error
    except RecursionError as error:
        raise UsageError("the body is nested too deeply") from error
    note_unknown_keys(request, raw, kind)
    return value


async def read_body(request: Request) -> bytes:
    """All bytes of the body. Raises TooLargeError, TooSlowError, BusyError, Interrupted when the client went away."""
    state = state_of(request)
    limits, budget = state.config.limits, state.bodies
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limits.max_body_bytes:
        raise _too_large(limits)
    parts: list[bytes] = []
    size = 0
    begun = asyncio.get_running_loop().time()
    stream = request.stream()
    try:
        while True:
            async with asyncio.timeout_at(begun + limits.body_timeout_s + size / _SLOWEST_BYTES_PER_S):
                part = await anext(stream, b"")
            if not part:
                return b"".join(parts)
            if size + len(part) > limits.max_body_bytes:
                raise _too_large(limits)
            budget.take(len(part))
            size += len(part)
            parts.append(part)
    except TimeoutError:
        raise TooSlowError(
            f"only {format_bytes(size)} of the body came in {limits.body_timeout_s + size / _SLOWEST_BYTES_PER_S:.0f} s"
        ) from None
    except ClientDisconnect as error:
        raise Interrupted("the client went away") from error
    finally:
        budget.give_back(size)


def _too_large(limits: Limits) -> TooLargeError:
    return TooLargeError(
        f"the body is larger than {format_bytes(limits.max_body_bytes)}", hint="serve --max-body SIZE allows more"
    )
