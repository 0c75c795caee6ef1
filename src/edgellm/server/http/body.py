"""The JSON body of a request as a typed object."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from edgellm.errors import Interrupted, UsageError

__all__ = ["read_json"]

Body = TypeVar("Body")


async def read_json(request: Request, kind: type[Body]) -> Body:
    """The body of ``request``, which must be a ``kind``; keys that it does not know are ignored.

    Raises UsageError for what is no JSON or of another shape, Interrupted when the client went away.
    """
    try:
        raw = await request.body()
    except ClientDisconnect as error:
        raise Interrupted("the client went away") from error
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise UsageError(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"the body is not JSON: {error}") from error
