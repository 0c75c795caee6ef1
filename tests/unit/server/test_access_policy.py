"""Whether a server may start, and what it asks of a request: the rules alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgellm.errors import UsageError
from edgellm.server.security.browsers import host_name, is_known_host, is_known_origin, parse_hosts, parse_origins
from edgellm.server.security.config import AccessConfig
from edgellm.server.security.key_file import KeyFile
from edgellm.server.security.networks import is_allowed, is_loopback, parse_networks
from edgellm.server.security.policy import make_policy


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "localhost", "LOCALHOST", "app.localhost"])
def test_loopback_addresses_need_no_key(tmp_path: Path, address: str) -> None:
    assert is_loopback(address)
    policy = make_policy(AccessConfig(), [address], KeyFile(tmp_path))
    assert not policy.needs_key
    assert policy.is_local


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.168.1.5", "fd00::7", "10.0.0.1", "localhost.example"])
def test_any_other_address_refuses_to_start_without_a_key(tmp_path: Path, address: str) -> None:
    with pytest.raises(UsageError) as raised:
        make_policy(AccessConfig(), ["127.0.0.1", address], KeyFile(tmp_path))
    assert address in raised.value.message
    assert "edgellm key add" in str(raised.value.hint)
    assert "--no-key --allow" in str(raised.value.hint)


def test_with_a_key_it_starts_and_wants_it(tmp_path: Path) -> None:
    KeyFile(tmp_path).add("phone")
    policy = make_policy(AccessConfig(), ["0.0.0.0"], KeyFile(tmp_path))
    assert policy.needs_key
    assert policy.warning is None


def test_no_key_needs_a_network_and_is_warned_of(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--no-key leaves"):
        AccessConfig(no_key=True)
    config = AccessConfig(no_key=True, allow=("192.168.1.0/24",))
    policy = make_policy(config, ["0.0.0.0"], KeyFile(tmp_path))
    assert not policy.needs_key
    assert "192.168.1.0/24" in str(policy.warning)


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0", "home", "1.2.3.4/40", "", "10.0.0.0/8,11.0.0.0/8"])
def test_networks_that_are_everybody_or_nonsense_are_refused(network: str) -> None:
    with pytest.raises(UsageError, match="--allow"):
        parse_networks([network])


@pytest.mark.parametrize(
    ("client", "allowed"),
    [
        ("192.168.1.7", True),
        ("::ffff:192.168.1.7", True),
        ("192.168.2.7", False),
        ("127.0.0.1", True),
        ("fd00::1", True),
        ("fe80::1%eth0", False),
        ("", False),
    ],
)
def test_clients_are_of_a_network_or_not(client: str, allowed: bool) -> None:
    assert is_allowed(client, parse_networks(["192.168.1.0/24", "fd00::/8"])) is allowed


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("localhost:11434", "localhost"),
        ("[::1]:11434", "::1"),
        ("Pi.Example.", "pi.example"),
        ("127.0.0.1", "127.0.0.1"),
        ("::1", ":"),  # not a valid header, and no name that anybody knows
    ],
)
def test_the_name_of_a_host_header(header: str, name: str) -> None:
    assert host_name(header) == name


def test_a_local_server_is_known_by_loopback_names_and_what_was_allowed() -> None:
    allowed = parse_hosts(["models.home", "Pi.Example:8080"])
    for host in ("localhost", "127.0.0.1", "::1", "x.localhost", "models.home", "pi.example"):
        assert is_known_host(host, allowed, is_local=True)
    for host in ("evil.example", "192.168.1.5", "localhost.evil.example", "127.0.0.1.evil.example", "sub.models.home"):
        assert not is_known_host(host, allowed, is_local=True)


def test_an_open_server_is_known_by_its_addresses_too() -> None:
    assert is_known_host("192.168.1.5", frozenset(), is_local=False)
    assert not is_known_host("evil.example", frozenset(), is_local=False)


@pytest.mark.parametrize(
    ("origin", "known"),
    [
        ("http://localhost:3000", True),
        ("https://127.0.0.1", True),
        ("http://[::1]:8080", True),
        ("http://pi.home:11434", True),  # the server's own page
        ("http://pi.home:80", False),
        ("https://chat.example", True),
        ("https://chat.example:8443", False),
        ("http://chat.example", False),
        ("https://sub.chat.example", False),
        ("http://localhost.evil.example", False),
        ("null", False),
        ("file://", False),
        ("tauri://localhost", False),
        ("http://user@localhost@evil.example", False),
    ],
)
def test_origins(origin: str, known: bool) -> None:
    allowed = parse_origins(["https://chat.example/page?x=1"])
    assert is_known_origin(origin, "pi.home:11434", allowed) is known


@pytest.mark.parametrize("url", ["*", "https://*.example", "chat.example", "", "null"])
def test_origins_that_are_none_are_refused(url: str) -> None:
    with pytest.raises(UsageError, match="--origin"):
        parse_origins([url])


@pytest.mark.parametrize("name", ["*", "*.example", "", "a/b"])
def test_host_names_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="--allowed-host"):
        parse_hosts([name])
