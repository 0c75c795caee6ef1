"""Whether a server may start as it was told to, and what it then asks of each request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgellm.errors import UsageError
from edgellm.server.security.browsers import parse_hosts, parse_origins
from edgellm.server.security.config import AccessConfig
from edgellm.server.security.key_file import KeyFile
from edgellm.server.security.key_ring import KeyRing
from edgellm.server.security.networks import Network, is_loopback, parse_networks

__all__ = ["AccessPolicy", "make_policy"]


@dataclass(frozen=True)
class AccessPolicy:
    """What is asked of every request over TCP; a Unix socket is guarded by its permissions."""

    keys: KeyRing
    needs_key: bool
    is_local: bool  # no other machine can reach the addresses that it listens on
    networks: tuple[Network, ...] = ()  # empty: any
    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()
    warning: str | None = None  # to be said at each start


def make_policy(config: AccessConfig, addresses: Sequence[str], file: KeyFile) -> AccessPolicy:
    """The policy of a server on ``addresses`` (hosts without ports; none where it has a Unix socket alone).

    Raises UsageError where others could reach it and nothing keeps them out, and for options that make no sense;
    AccessError for a key file that others may read.
    """
    networks = parse_networks(config.allow)
    keys = KeyRing(file)
    open_to = [address for address in addresses if not is_loopback(address)]
    needs_key = config.require_key or (bool(open_to) and not config.no_key)
    if needs_key and not len(keys):
        what = f"{open_to[0]} can be reached from other machines" if open_to else "--require-key is given"
        raise UsageError(
            f"{what}, and there is no API key",
            hint="make one with `edgellm key add NAME`, or --no-key --allow CIDR for clients that cannot send one",
        )
    warning = None
    if open_to and config.no_key:
        warning = (
            f"everybody in {', '.join(map(str, networks))} may use, load and remove models here without an API key "
            "(--no-key)"
        )
    return AccessPolicy(
        keys=keys,
        needs_key=needs_key,
        is_local=not open_to,
        networks=networks,
        hosts=parse_hosts(config.allowed_hosts),
        origins=parse_origins(config.origins),
        warning=warning,
    )
