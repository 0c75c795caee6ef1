"""Where files live: XDG folders, or one folder when EDGELLM_HOME is set.

============  ================================  =====================
folder        default                           with EDGELLM_HOME=H
============  ================================  =====================
config        ~/.config/edgellm                 H/config
store         ~/.local/share/edgellm/store      H/store
state         ~/.local/state/edgellm            H/state
cache         ~/.cache/edgellm                  H/cache
runtime       $XDG_RUNTIME_DIR/edgellm          H/run
system store  /var/lib/edgellm/store            none
============  ================================  =====================

Without $XDG_RUNTIME_DIR (cron, a container) it is /run/user/UID where that is the user's own, else the state folder's
"run". Nothing is created here: whoever writes creates.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgellm.errors import UsageError

__all__ = ["SYSTEM_STORE", "Paths", "path_origins", "user_path", "user_paths"]

SYSTEM_STORE = Path("/var/lib/edgellm/store")
_XDG = {
    "config": "XDG_CONFIG_HOME",
    "store": "XDG_DATA_HOME",
    "state": "XDG_STATE_HOME",
    "cache": "XDG_CACHE_HOME",
}


@dataclass(frozen=True)
class Paths:
    """The folders of one user."""

    config: Path
    store: Path
    state: Path
    cache: Path
    runtime: Path  # sockets of running servers, and what says where they answer
    system_store: Path | None = None  # the machine's bundles, read below the user's

    @property
    def prefixes(self) -> Path:
        """The folder of saved prefixes: a cache with limits of its own."""
        return self.cache / "prefixes"

    @property
    def conversations(self) -> Path:
        """The folder of the conversations of `chat`."""
        return self.state / "conversations"

    @property
    def prepared(self) -> Path:
        """The folder of ONNX weights in this processor's layout: a cache likewise."""
        return self.cache / "prepared"


def user_path(text: str) -> Path:
    """A path as a user typed it, ``~`` expanded. Raises UsageError for what cannot be a path."""
    if "\0" in text:
        raise UsageError("a path cannot hold a NUL character")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{text!r}: there is no such home folder", hint="write the path without ~") from error


def user_paths(environ: Mapping[str, str] = os.environ) -> Paths:
    """The folders for this environment. Relative XDG values are ignored, as the XDG specification demands."""
    home = environ.get("EDGELLM_HOME")
    if home:
        root = user_path(home).absolute()
        return Paths(
            config=root / "config",
            store=root / "store",
            state=root / "state",
            cache=root / "cache",
            runtime=root / "run",
        )

    def xdg(variable: str, fallback: str) -> Path:
        value = environ.get(variable, "")
        base = (
            Path(value) if value and Path(value).is_absolute() else Path(environ.get("HOME") or Path.home()) / fallback
        )
        return base / "edgellm"

    state = xdg(_XDG["state"], ".local/state")
    return Paths(
        config=xdg(_XDG["config"], ".config"),
        store=xdg(_XDG["store"], ".local/share") / "store",
        state=state,
        cache=xdg(_XDG["cache"], ".cache"),
        runtime=_runtime(environ, state),
        system_store=SYSTEM_STORE,
    )


def _runtime(environ: Mapping[str, str], state: Path) -> Path:
    named = environ.get("XDG_RUNTIME_DIR", "")
    if named and Path(named).is_absolute():
        return Path(named) / "edgellm"
    session = Path(f"/run/user/{os.getuid()}")  # logins through su, sudo and cron have it without the variable
    with contextlib.suppress(OSError):
        if session.stat().st_uid == os.getuid():
            return session / "edgellm"
    return state / "run"


def path_origins(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variable that each folder of ``user_paths`` comes from, or "default"."""
    if environ.get("EDGELLM_HOME"):
        return dict.fromkeys([*_XDG, "runtime", "system_store"], "EDGELLM_HOME")
    origins = {
        name: variable if Path(environ.get(variable) or ".").is_absolute() else "default"
        for name, variable in _XDG.items()
    }
    named = Path(environ.get("XDG_RUNTIME_DIR") or ".").is_absolute()
    return origins | {"runtime": "XDG_RUNTIME_DIR" if named else "default", "system_store": "default"}
