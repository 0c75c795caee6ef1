"""Who sent a request."""

from __future__ import annotations

import msgspec
from starlette.requests import Request

__all__ = ["LOCAL", "Caller", "caller_of"]


class Caller(msgspec.Struct, frozen=True):
    """Whoever sent a request: the holder of an API key, or anybody on this machine.

    ``scope`` keeps what one caller computed apart from others: a cached prefix is measurable by its timing.
    """

    name: str
    scope: str = ""


LOCAL = Caller("local")


def caller_of(request: Request) -> Caller:
    """The caller that the checks in front of the routes found."""
    caller = request.scope.get("edgellm.caller", LOCAL)
    assert isinstance(caller, Caller)
    return caller
