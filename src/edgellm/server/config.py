"""What a server is started with."""

from __future__ import annotations

from typing import Literal

import msgspec

from edgellm.errors import UsageError

__all__ = ["DEFAULT_HOST", "DEFAULT_PORT", "ServerConfig"]

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 11434

Isolation = Literal["process", "worker"]


class ServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the command line and the settings say about a server. Raises UsageError where a value is off."""

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    isolation: Isolation = "worker"
    keep_alive_s: float = 300.0  # how long a model stays after its last request; below 0 for ever
    max_body_bytes: int = 32 << 20

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise UsageError(f"the port is {self.port}; it must be 0 to 65535")
