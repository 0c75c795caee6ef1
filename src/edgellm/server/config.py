"""What a server is started with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from edgellm.errors import UsageError
from edgellm.server.limits import Limits
from edgellm.server.security.config import AccessConfig
from edgellm.settings import Settings

__all__ = ["ServerConfig", "server_config"]

Isolation = Literal["auto", "worker", "process"]


class ServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the command line and the settings say about a server. Raises UsageError where a value is off."""

    host: str = "127.0.0.1"
    port: int = 11434  # 0: any free one
    tcp: bool = True  # False: on the Unix socket alone
    socket: str | None = None  # path of the Unix socket; None: in the runtime folder, empty: none
    tls_cert: str | None = None  # PEM file with the certificate and its chain, for TCP
    tls_key: str | None = None
    drain_s: float = 60.0  # how long answers may take to finish once the server is told to stop
    until_idle_s: float | None = None  # without a client and a job for so long it ends by itself
    access: AccessConfig = AccessConfig()
    limits: Limits = Limits()
    log_format: Literal["text", "json"] = "text"
    log_requests: bool = True
    log_content: bool = False  # prompts and answers too
    # Of the models; None leaves it to the settings. See ``edgellm.server.models.policy``.
    isolation: Isolation | None = None
    keep_alive_s: float | None = None  # how long a model stays after its last request; below 0 for ever
    memory_budget_bytes: int | None = None  # of the server and its models
    parallel: int | None = None  # answers of one model at the same time

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise UsageError(f"the port is {self.port}; it must be 0 to 65535")
        if self.tls_cert is None and self.tls_key is not None:
            raise UsageError("there is a TLS key without a certificate", hint="--tls-cert FILE names it")
        if self.tls_cert is not None and self.tls_key is None:
            raise UsageError("there is a TLS certificate without its key", hint="--tls-key FILE names it")
        if not self.tcp and self.socket == "":
            raise UsageError("neither TCP nor a Unix socket: nobody could reach the server")


def server_config(settings: Settings, flags: Mapping[str, Any]) -> ServerConfig:
    """The configuration that ``settings`` give; a flag that is not None counts instead. Raises UsageError.

    Settings and flags are those fields of ServerConfig that have their names.
    """
    names = [name for name in ServerConfig.__struct_fields__ if name in Settings.__struct_fields__]
    values = {name: getattr(settings, name) for name in names}
    return ServerConfig(**values | {name: value for name, value in flags.items() if value is not None})
