"""What is said to a server about itself."""

from __future__ import annotations

import msgspec

__all__ = ["KeptAnswer"]


class KeptAnswer(msgspec.Struct, frozen=True):
    """It stays until a signal ends it."""

    kept: bool
