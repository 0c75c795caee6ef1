"""A dialect: the routes that one kind of client knows, and the form in which it reads errors."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.routing import Route

from edgellm.errors import EdgeLLMError

__all__ = ["Dialect", "dialect_of"]


@dataclass(frozen=True)
class Dialect:
    """``prefixes`` are the paths that it answers errors for, known routes or not; the longest one wins.

    ``errors`` names the module whose ``error_body`` gives the JSON object of an error and its status, which is an
    ``ErrorAnswer``; it is imported with the first error. Status and headers are the same for all.
    ``keyless`` are paths that GET and HEAD may ask for without an API key where others need one: what says that the
    server lives, and pages.
    """

    name: str
    prefixes: tuple[str, ...]
    routes: Sequence[Route]
    errors: str
    keyless: tuple[str, ...] = ()

    def error_body(self, error: EdgeLLMError, status: int) -> Any:
        """The JSON object that says ``error``."""
        return importlib.import_module(self.errors).error_body(error, status)

    @property
    def error(self) -> Any:
        """The type of that object."""
        return importlib.import_module(self.errors).ErrorAnswer


def dialect_of(dialects: Sequence[Dialect], path: str) -> Dialect:
    """The dialect whose client asked for ``path``; the last one where none claims it."""
    claims = [(len(prefix), each) for each in dialects for prefix in each.prefixes if path.startswith(prefix)]
    return max(claims, key=lambda claim: claim[0])[1] if claims else dialects[-1]
