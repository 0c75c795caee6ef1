"""SIGHUP: the settings are read again, and the certificate."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable

from edgellm.errors import EdgeLLMError
from edgellm.server.config import ServerConfig
from edgellm.server.lifecycle.tls import load_certificate
from edgellm.server.state import ServerState
from edgellm.settings import SettingsWithOrigin

__all__ = ["Reread", "reload_settings"]

Reread = Callable[[], tuple[ServerConfig, SettingsWithOrigin]]

_NEEDS_RESTART = ("host", "port", "socket", "tcp", "access", "limits", "log_format", "log_requests", "log_content")
_log = logging.getLogger("edgellm.server")


def reload_settings(state: ServerState, reread: Reread, tls: ssl.SSLContext | None) -> None:
    """Take over what ``reread`` gives. Where anything in it is wrong the former settings stay, and the log says why."""
    try:
        config, settings = reread()
        before = state.config
        state.reconfigure(config, settings)
        if tls is not None and config.tls_cert is not None and config.tls_key is not None:
            load_certificate(tls, config.tls_cert, config.tls_key)
    except EdgeLLMError as error:
        _log.error("the former settings stay: %s%s", error.message, f" ({error.hint})" if error.hint else "")
        return
    changed = {name: getattr(config, name) for name in _NEEDS_RESTART if getattr(config, name) != getattr(before, name)}
    if settings.paths.store != state.store.root:
        changed["store"] = settings.paths.store
    if (tls is None) != (config.tls_cert is None):
        changed["tls_cert"] = config.tls_cert
    for name, value in changed.items():
        _log.warning("%s is now %s: that needs a restart", name, value)
    _log.info("settings read again")
