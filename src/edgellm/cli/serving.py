"""What `edgellm serve` does: serve, and say where."""

from __future__ import annotations

import asyncio
import contextlib
import sys

from edgellm.cli.console import print_message, print_warning, printable
from edgellm.running import RunningServer, running_servers
from edgellm.server.config import ServerConfig
from edgellm.server.lifecycle.reloading import Reread
from edgellm.server.logs import configure_logs
from edgellm.server.serve import serve
from edgellm.settings import SettingsWithOrigin
from edgellm.store.store import Store

__all__ = ["serve_until_told"]


def serve_until_told(
    config: ServerConfig, settings: SettingsWithOrigin, store: Store, reread: Reread, *, as_json: bool, quiet: bool
) -> None:
    """Serve in this process. Raises what ``serve`` raises before it answers."""
    configure_logs(config.log_format, quiet=quiet, access=config.log_requests)

    def ready(running: RunningServer) -> None:
        with contextlib.suppress(OSError):  # nobody reads it
            _announce(running, as_json)
        if not quiet:
            print_message(f"edgellm {running.version} serves the models of {running.store}; Ctrl-C ends it")
            for other in running_servers(settings.paths.runtime):
                if other.store == running.store and other.pid != running.pid:
                    print_warning(f"{other.address} serves this store too: what both load is in memory twice")

    asyncio.run(serve(config, settings, store, reread=reread, ready=ready))


def _announce(running: RunningServer, as_json: bool) -> None:
    """Lines that a shell can read; at once, for programs that wait for them."""
    if as_json:
        import msgspec

        sys.stdout.write(msgspec.json.encode(running).decode() + "\n")
    else:
        if running.url is not None:
            sys.stdout.write(
                f"OPENAI_BASE_URL={running.url}/v1\nOLLAMA_HOST={running.url}\nANTHROPIC_BASE_URL={running.url}\n"
            )
        if running.socket is not None:
            sys.stdout.write(f"EDGELLM_SOCKET={printable(running.socket)}\n")
    sys.stdout.flush()
