"""What a browser may be talked into: pages of other sites, and names that suddenly mean this machine (DNS rebinding).

A page of evil.example can ask http://evil.example:11434 after its owner has pointed that name at 127.0.0.1. The Host
header still says evil.example: only names that are known to mean this server are answered.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from functools import cache
from urllib.parse import urlsplit

from edgellm.errors import UsageError
from edgellm.server.security.networks import is_loopback, parse_address

__all__ = ["host_name", "is_known_host", "is_known_origin", "parse_hosts", "parse_origins"]

_WEB = ("http", "https")


def host_name(header: str) -> str:
    """The name or address of a Host header, in lower case, without the port and without a final dot."""
    text = header.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    name, colon, port = text.rpartition(":")
    return (name if colon and port.isdecimal() else text).rstrip(".")


def parse_hosts(names: Iterable[str]) -> frozenset[str]:
    """The names of --allowed-host. Raises UsageError."""
    found = set()
    for name in names:
        plain = host_name(name)
        if not plain or "*" in plain or "/" in plain:
            raise UsageError(f"--allowed-host {name!r} is not a name", hint="write it like pi.example or models.home")
        found.add(plain)
    return frozenset(found)


def parse_origins(urls: Iterable[str]) -> frozenset[str]:
    """The origins of --origin: scheme, host and port of each URL. Raises UsageError."""
    found = set()
    for url in urls:
        parts = urlsplit(url.strip())
        if not parts.scheme or not parts.netloc or "*" in url:
            raise UsageError(
                f"--origin {url!r} is not the address of a page", hint="write it like https://chat.example"
            )
        found.add(f"{parts.scheme}://{parts.netloc}".lower())
    return frozenset(found)


def is_known_host(host: str, allowed: frozenset[str], *, is_local: bool) -> bool:
    """Whether ``host`` means this server. No owner of a name can point an address elsewhere: addresses are known.

    A server that ``is_local`` is called by loopback addresses and names alone; others by the machine's own name too.
    """
    if host in allowed or is_loopback(host):
        return True
    return not is_local and (parse_address(host) is not None or host in _own_names())


def is_known_origin(origin: str, host_header: str, allowed: frozenset[str]) -> bool:
    """Whether a page of ``origin`` may ask: one of this machine, of this server itself, or one that was named."""
    folded = origin.lower()
    if folded in allowed:
        return True
    parts = urlsplit(folded)
    if parts.scheme not in _WEB or not parts.hostname:
        return False
    return is_loopback(parts.hostname) or parts.netloc == host_header.strip().lower()


@cache
def _own_names() -> frozenset[str]:
    name = socket.gethostname().lower()
    return frozenset({name, f"{name}.local"}) if name else frozenset()
