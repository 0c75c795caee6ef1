"""Which server a command should talk to."""

from __future__ import annotations

import contextlib
import json
import socket
from pathlib import Path

import msgspec

from edgellm.client.key import key_headers
from edgellm.running import RunningServer, running_servers
from edgellm.settings import SettingsWithOrigin

__all__ = ["find_servers", "serving"]

_ANSWER_S = 2.0
_CONNECT_S = 0.3
_LIMIT_BYTES = 64 << 10


def find_servers(settings: SettingsWithOrigin) -> list[RunningServer]:
    """The servers that can be asked: those of this user, then whoever answers at the address of the settings.

    The first one to start comes first. One by address alone, which a service of this machine is, comes last.
    """
    servers = running_servers(settings.paths.runtime)
    host, port = settings.values.host, settings.values.port
    if port and not any(server.url and server.url.endswith(f":{port}") for server in servers):
        answered = _ask({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port)
        if answered is not None:
            servers.append(answered)
    return servers


def serving(settings: SettingsWithOrigin, file: Path) -> RunningServer | None:
    """The server of the store that ``file`` lies in."""
    return next((server for server in find_servers(settings) if file.is_relative_to(server.store)), None)


def _ask(host: str, port: int) -> RunningServer | None:
    """The edgellm server at an address; None for another program, and where nobody listens."""
    try:
        with socket.create_connection((host, port), _CONNECT_S):
            pass
    except OSError:
        return None
    import http.client

    connection = http.client.HTTPConnection(host, port, timeout=_ANSWER_S)
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError), contextlib.closing(connection):
        connection.request("GET", "/api/edgellm/server", headers=key_headers())
        response = connection.getresponse()
        if response.status == 200:
            found = msgspec.convert(json.loads(response.read(_LIMIT_BYTES)), RunningServer)
            shown = f"[{host}]" if ":" in host else host
            # its socket and its file are another user's: the address is what works for us
            return msgspec.structs.replace(found, url=f"http://{shown}:{port}", socket=None)
    return None
