"""What a handler reads and answers, said beside it: the OpenAPI document is made from this."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from edgellm.server.http.deferred import the_handler

__all__ = ["MODEL_ERRORS", "Operation", "Query", "operation", "operation_of"]

Handler = TypeVar("Handler", bound=Callable[..., Any])

MODEL_ERRORS = (404, 422, 501, 503, 507)
"""How a request for a model ends where it is not there, damaged, lacks the ability, is busy, or does not fit."""

_ATTRIBUTE = "edgellm_operation"


@dataclass(frozen=True)
class Query:
    """A parameter of the query; ``kind`` is a JSON schema."""

    name: str
    about: str
    kind: Any = None
    required: bool = False


@dataclass(frozen=True)
class Operation:
    """``body`` and ``answer`` are the types of their JSON, None without any; ``answer`` may be a media type instead.

    With ``stream`` the answer may also be of that media type. ``errors`` are the statuses that the handler itself can
    end with; those of every request (``document``) need not be said. ``statuses`` are those of success.
    """

    body: Any = None
    answer: Any = None
    stream: str | None = None
    errors: tuple[int, ...] = ()
    statuses: tuple[int, ...] = (200,)
    query: tuple[Query, ...] = ()
    raw_body: str | None = None  # a media type, for bodies that are no JSON
    documented: bool = True


def operation(**fields: Any) -> Callable[[Handler], Handler]:
    """Say it of a handler; see ``Operation``."""

    def mark(handler: Handler) -> Handler:
        setattr(handler, _ATTRIBUTE, Operation(**fields))
        return handler

    return mark


def operation_of(handler: Callable[..., Any]) -> Operation | None:
    """What was said of ``handler``."""
    found = getattr(the_handler(handler), _ATTRIBUTE, None)
    assert found is None or isinstance(found, Operation)
    return found
