"""Addresses of clients and of the server itself."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from edgellm.errors import UsageError

__all__ = ["Address", "Network", "is_allowed", "is_loopback", "parse_address", "parse_networks"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_address(text: str) -> Address | None:
    """The address that ``text`` is, without a zone and IPv4 as IPv4; None for a name."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def is_loopback(host: str) -> bool:
    """True for what only this machine can reach: its loopback addresses, and names that always mean them."""
    address = parse_address(host)
    if address is None:
        return host.lower() == "localhost" or host.lower().endswith(".localhost")
    return address.is_loopback


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """The networks of --allow. Raises UsageError for what is none, and for one that is everybody."""
    found = []
    for text in texts:
        try:
            network = ipaddress.ip_network(text.strip(), strict=False)
        except ValueError:
            raise UsageError(
                f"--allow {text!r} is not a network", hint="write it like 192.168.1.0/24, 192.168.1.7 or fd00::/8"
            ) from None
        if network.prefixlen == 0:
            raise UsageError(f"--allow {text} is everybody", hint="name a network, or let clients send an API key")
        found.append(network)
    return tuple(found)


def is_allowed(client: str, networks: Sequence[Network]) -> bool:
    """Whether ``client`` is in one of ``networks``, or on this machine."""
    address = parse_address(client)
    if address is None:
        return False
    return address.is_loopback or any(address in network for network in networks)
