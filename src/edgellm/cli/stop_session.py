"""What `edgellm stop` does."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from edgellm.cli.console import print_message
from edgellm.cli.context import user_settings
from edgellm.client.find import find_servers
from edgellm.errors import AccessError, NotFoundError
from edgellm.running import RunningServer, running_servers, watched

__all__ = ["stop_model", "stop_servers"]

_LOOK_S = 0.05
_TELL_AFTER_S = 1.0


def stop_model(name: str, *, quiet: bool) -> None:
    """Unload ``name`` everywhere. Raises NotFoundError, UsageError, NetworkError."""
    from edgellm.cli.servers import ask_each
    from edgellm.client.connection import Client
    from edgellm.client.models import loaded_models, unload_model

    async def unload(client: Client) -> tuple[int, bool]:
        before = len(await loaded_models(client))
        done = await unload_model(client, name)
        return before - len(await loaded_models(client)), done

    servers = find_servers(user_settings())
    if not servers:
        raise NotFoundError("no server runs", hint="a model that `edgellm run` loads is unloaded when that ends")
    for server, (gone, done) in ask_each(servers, unload):
        if quiet:
            continue
        if not done:
            print_message(f"{name} is unloaded once its answers are done ({server.address})")
        elif gone:
            print_message(f"{name} is unloaded ({server.address})")
        else:
            print_message(f"{name} was not loaded ({server.address})")


def stop_servers(*, now: bool, quiet: bool) -> None:
    """End the servers of this user's store, and wait for it. Raises NotFoundError, AccessError."""
    settings = user_settings()
    folder, store = settings.paths.runtime, str(settings.paths.store)
    ours = [server for server in running_servers(folder) if server.store == store]
    if not ours:
        others = find_servers(settings)
        if others:
            raise AccessError(
                f"{others[0].address} serves another store or belongs to another user",
                hint="end it where it was started: with its EDGELLM_HOME, or `sudo systemctl stop edgellm`",
            )
        raise NotFoundError("no server runs")
    for server in ours:
        with watched(folder, server) as is_running:
            _end(server, is_running, now=now, quiet=quiet)


def _end(server: RunningServer, is_running: Callable[[], bool], *, now: bool, quiet: bool) -> None:
    _signal(server, is_running)
    begun, told = time.monotonic(), quiet
    while is_running():
        time.sleep(_LOOK_S)
        if now:  # the second signal counts once the first was seen: its file is gone then
            if not _is_listed(server):
                _signal(server, is_running)
                now = False
        elif not told and time.monotonic() - begun > _TELL_AFTER_S:
            print_message(f"process {server.pid} lets its answers finish; Ctrl-C stops waiting, --now cuts them off")
            told = True
    if not quiet:
        print_message(f"{server.address} (process {server.pid}) has ended")


def _is_listed(server: RunningServer) -> bool:
    return any(other.pid == server.pid for other in running_servers(Path(user_settings().paths.runtime)))


def _signal(server: RunningServer, is_running: Callable[[], bool]) -> None:
    """The lock says that the process id is that server's."""
    with contextlib.suppress(ProcessLookupError):
        if is_running():
            os.kill(server.pid, signal.SIGTERM)
