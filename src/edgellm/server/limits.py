"""How much of everything one request may have, how many there may be, and how long they may take to arrive."""

from __future__ import annotations

import msgspec

from edgellm.errors import UsageError

__all__ = ["Limits"]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes are in bytes, times in seconds. Raises UsageError for what is not above 0."""

    max_header_bytes: int = 32 << 10
    max_body_bytes: int = 32 << 20
    max_bodies_bytes: int = 128 << 20  # of all requests that are being read
    max_messages: int = 4096
    max_tools: int = 512
    max_images: int = 32
    max_image_bytes: int = 16 << 20  # decoded
    max_grammar_bytes: int = 256 << 10  # JSON schemas too
    max_connections: int = 1024
    max_requests: int = 256  # that run or wait; more are refused
    header_timeout_s: float = (
        15.0  # from the first byte of a request, or from the connection, to the end of its headers
    )
    body_timeout_s: float = 30.0  # for a body, and one second more for each 16 KiB of it
    write_timeout_s: float = 30.0  # without the reader taking anything
    idle_timeout_s: float = 75.0  # of a connection between two requests

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value <= 0:
                raise UsageError(f"{name} is {value}; it must be above 0")
        if self.max_body_bytes > self.max_bodies_bytes:
            raise UsageError("max_body_bytes is more than max_bodies_bytes: no such body could come")
