"""Where a server listens: TCP, a Unix socket, or what systemd opened before."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edgellm.errors import AccessError, BusyError, NetworkError, UsageError
from edgellm.files import os_errors
from edgellm.running import private_folder
from edgellm.server.config import ServerConfig
from edgellm.server.lifecycle.port_owner import port_owner

__all__ = ["Listeners", "open_listeners"]

_BACKLOG = 2048
_LONGEST_PATH_BYTES = 107 if os.uname().sysname == "Linux" else 103  # sun_path, less its NUL
_SOCKET_NAME = "edgellm.sock"
_MOST_PORTS_TRIED = 100


@dataclass
class Listeners:
    """Open sockets. ``url`` and ``unix_path`` are where clients find them."""

    tcp: list[socket.socket] = field(default_factory=list)
    unix: list[socket.socket] = field(default_factory=list)
    url: str | None = None  # of the first TCP socket
    unix_path: str | None = None
    own_path: Path | None = None  # a socket file of ours, to be removed: systemd's stay

    @property
    def tcp_addresses(self) -> list[str]:
        """The addresses of the TCP sockets."""
        return [each.getsockname()[0] for each in self.tcp]

    def withdraw(self) -> None:
        """Take the socket file away: nobody finds this server by it any more."""
        if self.own_path is not None:
            with contextlib.suppress(OSError):
                self.own_path.unlink(missing_ok=True)
            self.own_path = None  # the next server may put its own there

    def close(self) -> None:
        """Stop listening."""
        self.withdraw()
        for each in (*self.tcp, *self.unix):
            each.close()


def open_listeners(config: ServerConfig, runtime: Path, inherited: list[socket.socket]) -> Listeners:
    """Open what ``config`` asks for; what systemd handed over takes its place.

    ``runtime`` is the folder of the Unix socket, unless ``config`` names another. Raises BusyError for a port or path
    that another program has, UsageError for an address that this machine does not have, AccessError, NetworkError.
    """
    listeners = Listeners()
    try:
        for each in inherited:
            is_unix = each.family == socket.AF_UNIX
            (listeners.unix if is_unix else listeners.tcp).append(each)
            if is_unix:
                listeners.unix_path = os.fsdecode(each.getsockname())
        if not listeners.tcp and config.tcp and not inherited:
            listeners.tcp = _open_tcp(config.host, config.port, runtime)
        if not listeners.unix and config.socket != "":
            _open_unix(config.socket, runtime, listeners)
    except BaseException:
        listeners.close()
        raise
    if listeners.tcp:
        host, port = listeners.tcp[0].getsockname()[:2]
        listeners.url = f"{'https' if config.tls_cert else 'http'}://{_reachable(host)}:{port}"
    return listeners


def _reachable(host: str) -> str:
    """The address by which a client on this machine reaches what listens on ``host``."""
    known = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}
    return known.get(host, f"[{host}]" if ":" in host else host)


def _open_tcp(host: str, port: int, runtime: Path) -> list[socket.socket]:
    opened: list[socket.socket] = []
    try:
        for family, address in _addresses(host, port):
            if opened and port == 0:  # every address of a name on the same port
                address = (address[0], opened[0].getsockname()[1], *address[2:])
            opened.append(_bind(family, address, runtime))
    except BaseException:
        for each in opened:
            each.close()
        raise
    return opened


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise UsageError(
            f"there is no address {host[:100]!r} to listen on: {error}",
            hint="--host 127.0.0.1 is this machine alone, --host 0.0.0.0 every network that it is in",
        ) from error
    addresses = {entry[4]: entry[0] for entry in found if entry[0] in (socket.AF_INET, socket.AF_INET6)}
    # a machine without IPv6 may still have ::1 as a name of localhost
    usable = [(family, address) for address, family in addresses.items() if _has_family(family)]
    return usable or [(family, address) for address, family in addresses.items()]  # type: ignore[return-value]


def _has_family(family: socket.AddressFamily) -> bool:
    if family == socket.AF_INET:
        return True
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind(("::1", 0))
        return True
    return False


def _bind(family: socket.AddressFamily, address: tuple[str, int], runtime: Path) -> socket.socket:
    # With its protocol named, asyncio turns Nagle's algorithm off for every connection. Else the second write of an
    # answer waits until the client has acknowledged the first one, which it may put off for 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # on Linux: also after a server that just ended
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise _refusal(error, address[0], address[1], runtime) from error
    return listener


def _refusal(error: OSError, host: str, port: int, runtime: Path) -> Exception:
    if error.errno == errno.EADDRINUSE:
        owner = port_owner(host, port, runtime)
        return BusyError(
            f"port {port} of {host} is taken by {owner.name}", hint=f"{owner.advice}--port {_free_port(host, port)}"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return UsageError(
            f"this machine has no address {host}", hint="`ip addr` lists what it has; --host 127.0.0.1 is always there"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return AccessError(
            f"the system does not let this user listen on port {port}",
            hint="ports below 1024 are the administrator's: choose a higher one with --port, or let systemd open it",
        )
    return NetworkError(f"cannot listen on {host}, port {port}: {error.strerror or error}")


def _free_port(host: str, taken: int) -> int:
    """The next free one; 0, which lets the system choose, when there is none nearby."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in range(taken + 1, min(taken + _MOST_PORTS_TRIED, 65536)):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((host, port))
            return port
    return 0


def _open_unix(chosen: str | None, runtime: Path, listeners: Listeners) -> None:
    """A socket file that only this user may open."""
    path = Path(chosen).expanduser().absolute() if chosen else _default_path(runtime)
    if len(os.fsencode(path)) > _LONGEST_PATH_BYTES:
        raise UsageError(
            f"the path of the socket is too long for this system ({len(os.fsencode(path))} bytes): {path}",
            hint=f"choose one of at most {_LONGEST_PATH_BYTES} bytes with --socket",
        )
    with _folder_of(path, private=chosen is None):
        if _answers(path):
            if chosen:
                raise BusyError(f"another program listens on {path}", hint="choose another path with --socket")
            path = path.with_name(f"edgellm-{os.getpid()}.sock")  # beside a server of the same user
        elif path.is_socket():
            path.unlink()  # of a server that was killed
        elif path.exists():
            raise UsageError(f"{path} exists and is no socket", hint="choose another path with --socket")
        with os_errors(f"listen on {path}"):
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listeners.unix.append(listener)
            before = os.umask(0o177)
            try:
                listener.bind(str(path))
            finally:
                os.umask(before)
            listeners.own_path, listeners.unix_path = path, str(path)
            listener.listen(_BACKLOG)


@contextlib.contextmanager
def _folder_of(path: Path, *, private: bool) -> Iterator[None]:
    if private:
        with private_folder(path.parent):
            yield
        return
    with os_errors(f"use the folder {path.parent}"):
        path.parent.mkdir(parents=True, exist_ok=True)
    yield


def _default_path(runtime: Path) -> Path:
    """In the runtime folder, else where names are short enough; clients learn it from the runtime file."""
    path = runtime.absolute() / _SOCKET_NAME
    longest = path.with_name(f"edgellm-{2**22}.sock")
    if len(os.fsencode(longest)) <= _LONGEST_PATH_BYTES:
        return path
    return Path(tempfile.gettempdir()) / f"edgellm-{os.getuid()}" / _SOCKET_NAME


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:
            return path.exists()  # whoever it is, it is not ours to take away
        return True
