"""Who listens on the port that other programs expect a model server on? Read from /proc, no connection is made."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from edgellm.deploy.checks.finding import Finding, fine, skipped
from edgellm.deploy.checks.machine import Machine
from edgellm.devices.cgroup import read_text

__all__ = ["check_ports", "listeners"]

_PORT = 11434  # Ollama's, which many programs try first
_LISTEN = "0A"  # include/net/tcp_states.h: TCP_LISTEN = 10
_PROCESSES_LIMIT = 8192
_FILES_LIMIT = 4096


def check_ports(machine: Machine) -> Iterator[Finding]:
    """Information only: another port can be chosen."""
    tables = [machine.root / "proc/net" / name for name in ("tcp", "tcp6")]
    if not any(table.exists() for table in tables):
        yield skipped("ports", "this system does not tell which ports are in use")
        return
    sockets = listeners(machine.root, _PORT)
    if not sockets:
        yield fine("ports", f"port {_PORT} is free")
        return
    owner = _owner(machine.root, sockets)
    yield fine("ports", f"port {_PORT} is in use by {owner or 'a process of another user'}")


def listeners(root: Path, port: int) -> set[str]:
    """The inode numbers of the sockets that listen on ``port`` of any address."""
    found = set()
    for name in ("tcp", "tcp6"):
        for line in read_text(root / "proc/net" / name).splitlines()[1:]:
            fields = line.split()
            if len(fields) > 9 and fields[3] == _LISTEN and fields[9].isdigit():
                _address, _colon, number = fields[1].rpartition(":")
                if re.fullmatch(r"[0-9A-Fa-f]{4}", number) and int(number, 16) == port:
                    found.add(fields[9])
    return found


def _owner(root: Path, sockets: set[str]) -> str | None:
    """Name and id of the process that holds one of ``sockets``; None when we may not look into it."""
    wanted = {f"socket:[{inode}]" for inode in sockets}
    for process in islice((root / "proc").glob("[0-9]*"), _PROCESSES_LIMIT):
        try:
            held = any(str(file.readlink()) in wanted for file in islice((process / "fd").iterdir(), _FILES_LIMIT))
        except OSError:
            continue  # another user's, or it ended
        if held:
            return f"{read_text(process / 'comm')[:32]} (process {process.name})"
    return None
