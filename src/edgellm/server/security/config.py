"""What the command line says about who may ask."""

from __future__ import annotations

import msgspec

from edgellm.errors import UsageError

__all__ = ["AccessConfig"]


class AccessConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The options of the same names. Raises UsageError for those that contradict each other."""

    require_key: bool = False  # on a loopback address too
    no_key: bool = False
    allow: tuple[str, ...] = ()  # networks, 192.168.1.0/24
    origins: tuple[str, ...] = ()  # of web pages, https://chat.example
    allowed_hosts: tuple[str, ...] = ()  # names that clients may call this server by

    def __post_init__(self) -> None:
        if self.no_key and self.require_key:
            raise UsageError("--no-key and --require-key contradict each other")
        if self.no_key and not self.allow:
            raise UsageError(
                "--no-key leaves the server open to everybody who can reach it",
                hint="add --allow CIDR with the network that may, such as --allow 192.168.1.0/24",
            )
