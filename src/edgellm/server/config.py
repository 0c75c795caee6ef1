"""What a server is started with."""

from __future__ import annotations

from typing import Literal

import msgspec

from edgellm.errors import UsageError

__all__ = ["DEFAULT_HOST", "DEFAULT_PORT", "ServerConfig"]

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 11434

Isolation = Literal["auto", "worker", "process"]


class ServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the command line and the settings say about a server. Raises UsageError where a value is off."""

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    # Of the models; None leaves it to the settings. See ``edgellm.server.models.policy``.
    isolation: Isolation | None = None
    keep_alive_s: float | None = None  # how long a model stays after its last request; below 0 for ever
    memory_budget_bytes: int | None = None  # of the server and its models
    parallel: int | None = None  # answers of one model at the same time
    max_body_bytes: int = 32 << 20

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise UsageError(f"the port is {self.port}; it must be 0 to 65535")
