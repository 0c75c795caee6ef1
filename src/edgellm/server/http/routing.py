"""Routes that share a path with others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.datastructures import Headers
from starlette.routing import Match, Route
from starlette.types import Scope

__all__ = ["RouteWhere"]


class RouteWhere(Route):
    """A route for requests whose headers are as it wants; others find the next route with the same path."""

    def __init__(self, path: str, endpoint: Callable[..., Any], where: Callable[[Headers], bool], **more: Any) -> None:
        super().__init__(path, endpoint, **more)
        self._where = where

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Of the path, then of the headers."""
        match, child = super().matches(scope)
        if match is not Match.NONE and not self._where(Headers(scope=scope)):
            return Match.NONE, {}
        return match, child
