"""What is told about a model that is loaded, or on its way."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["ModelStatus"]


class ModelStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One model at one moment."""

    name: str  # that it was loaded under
    digest: str
    state: Literal["loading", "ready"]
    needed_bytes: int | None = None  # when all that it reserves is in use
    context: int | None = None
    keep_alive_s: float | None = None
    expires_in_s: float | None = None  # None while it is in use, or stays for ever
