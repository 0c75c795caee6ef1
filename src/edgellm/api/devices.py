"""GET /api/edgellm/devices: what models can be made for."""

from __future__ import annotations

import msgspec

__all__ = ["DeviceList", "DeviceRow"]


class DeviceRow(msgspec.Struct, frozen=True, kw_only=True):
    """A device profile in brief. ``sizes`` are the memories that it is sold with, the usual one in ``memory_bytes``."""

    id: str
    name: str
    memory_bytes: int
    sizes: list[str]
    support: str  # tested, expected, unknown
    aliases: list[str]


class DeviceList(msgspec.Struct, frozen=True):
    """``here`` is this machine with its own memory, None where it cannot be told; ``devices`` are all profiles."""

    here: DeviceRow | None
    devices: list[DeviceRow]
