"""Who listens on a port that we want."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from edgellm.running import running_servers

__all__ = ["PortOwner", "port_owner"]

_ANSWER_S = 1.0
_OLLAMA_SAYS = b"Ollama is running"


class PortOwner(NamedTuple):
    """``name`` completes "is taken by"; ``advice`` begins a hint that ends with a port to choose."""

    name: str
    advice: str


def port_owner(host: str, port: int, runtime: Path) -> PortOwner:
    """Ask our own runtime files, whoever answers there, and the process table, as far as this user may read it."""
    for server in running_servers(runtime):
        if server.url is not None and urlsplit(server.url).port == port:
            return PortOwner(
                f"another edgellm server (process {server.pid}, store {server.store})",
                "`edgellm ps` asks it, `edgellm stop --server` ends it; a second one needs ",
            )
    process = _process(port)
    greeting = _greeting(host, port)
    if greeting == "Ollama" and process:
        process = process if "ollama" in process else f"Ollama ({process})"
    name = process or greeting or "a program of another user"
    hint = "stop that one first, or choose another port: " if "ollama" in name.lower() else "choose another port: "
    return PortOwner(name, hint)


def _process(port: int) -> str | None:
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                with contextlib.suppress(psutil.Error):
                    return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
                return f"process {connection.pid}"
    return None


def _greeting(host: str, port: int) -> str | None:
    """The name of a server that says it, by its answer to GET /."""
    import http.client

    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    connection = http.client.HTTPConnection(reachable, port, timeout=_ANSWER_S)
    with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
        connection.request("GET", "/api/edgellm/version")
        answer = connection.getresponse()
        if answer.status == 200 and b'"version"' in answer.read(4096):
            return "an edgellm server of another user"
        answer.read()
        connection.request("GET", "/")
        if _OLLAMA_SAYS in connection.getresponse().read(4096):
            return "Ollama"
    return None
