"""The log of a server, as clients see it."""

from __future__ import annotations

import msgspec

__all__ = ["LogLine", "LogLines"]


class LogLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line. ``traceback`` is there for faults of the server's own."""

    number: int  # counts up from the start of the server
    time: float  # seconds since the epoch
    level: str
    logger: str
    message: str
    traceback: str | None = None


class LogLines(msgspec.Struct, frozen=True):
    """Lines of the log, the oldest first."""

    lines: list[LogLine]
