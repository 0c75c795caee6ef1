"""A server from start to end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

from edgellm.running import RunningServer, RuntimeFile
from edgellm.server.app import create_app
from edgellm.server.config import ServerConfig
from edgellm.server.lifecycle.http_server import HttpServer
from edgellm.server.lifecycle.listening import Listeners, open_listeners
from edgellm.server.lifecycle.reloading import Reread, reload_settings
from edgellm.server.lifecycle.signals import StopRequest, handled_signals
from edgellm.server.lifecycle.systemd import Notifier, inherited_sockets
from edgellm.server.models.manager import ModelManager
from edgellm.server.security.key_file import KeyFile
from edgellm.server.security.policy import make_policy
from edgellm.server.state import ServerState
from edgellm.settings import SettingsWithOrigin
from edgellm.store.store import Store
from edgellm.version import __version__

__all__ = ["serve"]

_INTERRUPTED = 130
_CLOSE_S = 2.0  # for what is left to do once a second signal came

_log = logging.getLogger("edgellm.server")


async def serve(
    config: ServerConfig,
    settings: SettingsWithOrigin,
    store: Store,
    *,
    reread: Reread | None = None,
    ready: Callable[[RunningServer], None] | None = None,
) -> None:
    """Answer requests until a signal says stop, and then until what runs has finished.

    A second signal ends the process at once, with status 130. ``ready`` hears when requests are answered; ``reread``
    gives configuration and settings anew at SIGHUP. Raises what ``open_listeners``,
    ``tls_context`` and ``make_policy`` do.
    """
    notifier, inherited, stop = Notifier(), inherited_sockets(), StopRequest()
    terminal = [stream for stream in range(3) if os.isatty(stream)]
    tls = _tls(config)
    listeners = open_listeners(config, settings.paths.runtime, inherited)
    with contextlib.closing(listeners):
        running = _described(listeners, store)
        policy = make_policy(config.access, listeners.tcp_addresses, KeyFile(settings.paths.config))
        if policy.warning is not None:
            _log.warning("%s", policy.warning)
        state = ServerState(config, settings, store, ModelManager(config, settings, store), running, policy)
        server = HttpServer(create_app(state), listeners, tls, config.limits)

        def reload() -> None:
            if terminal and not any(map(os.isatty, terminal)):
                stop.stop()  # its window was closed
            elif reread is not None:
                notifier.reloading()
                reload_settings(state, reread, tls)
                notifier.ready(f"serving on {running.address}")

        with handled_signals(stop, reload):
            await server.open()
            with _runtime_file(settings, running) as runtime_file:
                if ready is not None:
                    ready(running)
                notifier.ready(f"serving on {running.address}")
                with _watchdog(notifier), _idle_end(state, server, stop):
                    await server.run_until(stop.told)
                    runtime_file.remove()
                    listeners.withdraw()
                    await _finish(state, server, stop, notifier)


@contextlib.contextmanager
def _runtime_file(settings: SettingsWithOrigin, running: RunningServer) -> Iterator[RuntimeFile]:
    file = RuntimeFile(settings.paths.runtime, running)
    try:
        yield file
    finally:
        file.remove()


def _tls(config: ServerConfig) -> ssl.SSLContext | None:
    if config.tls_cert is None or config.tls_key is None:
        return None
    from edgellm.server.lifecycle.tls import tls_context

    return tls_context(config.tls_cert, config.tls_key)


def _described(listeners: Listeners, store: Store) -> RunningServer:
    return RunningServer(
        pid=os.getpid(),
        version=__version__,
        store=str(store.root),
        started=time.time(),
        url=listeners.url,
        socket=listeners.unix_path,
    )


@contextlib.contextmanager
def _watchdog(notifier: Notifier) -> Iterator[None]:
    """Tell the service manager that the event loop turns, for as long as it does."""
    if notifier.watchdog_s is None:
        yield
        return
    every_s = notifier.watchdog_s

    async def tell() -> None:
        while True:
            notifier.alive()
            await asyncio.sleep(every_s)

    telling = asyncio.ensure_future(tell())
    try:
        yield
    finally:
        telling.cancel()


@contextlib.contextmanager
def _idle_end(state: ServerState, server: HttpServer, stop: StopRequest) -> Iterator[None]:
    """Stop once nobody is connected, and no job runs or waits, where that was asked for."""

    def is_needed() -> bool:
        return bool(server.server_state.connections) or state.jobs.is_working

    watching = asyncio.ensure_future(state.idle_end.watch(is_needed, stop.told.set))
    try:
        yield
    finally:
        watching.cancel()


async def _finish(state: ServerState, server: HttpServer, stop: StopRequest, notifier: Notifier) -> None:
    """Let what runs finish, then unload everything."""
    busy = len(server.server_state.tasks)
    notifier.stopping(f"{busy} answers to finish" if busy else "stopping")
    if busy:
        _log.info(
            "stopping: %d answers may finish within %g s; a second signal ends at once", busy, state.config.drain_s
        )
    state.stopping.set()
    cut = await server.drain(stop.hurry, state.config.drain_s)
    if cut:
        _log.warning("%d answers were cut off", cut)
    closing = asyncio.ensure_future(server.close())
    hurried = asyncio.ensure_future(stop.hurry.wait())
    await asyncio.wait((closing, hurried), return_when=asyncio.FIRST_COMPLETED)
    hurried.cancel()
    if stop.hurry.is_set():
        await asyncio.wait((closing,), timeout=_CLOSE_S)
        _end_now()
    await closing


def _end_now() -> NoReturn:
    """Without waiting for threads that load a model; workers end with their parent."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(_INTERRUPTED)
