"""Finds the server of the user's store, or starts one that ends by itself when nobody needs it any more."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edgellm.errors import BackendError
from edgellm.files import os_errors
from edgellm.paths import user_path
from edgellm.running import RunningServer, private_folder

if TYPE_CHECKING:
    from edgellm.settings import SettingsWithOrigin

__all__ = ["Launcher"]

_START_S = 60.0
_IDLE_S = 10
_SAID_BYTES = 4096
_FOLDER_VARIABLES = ("EDGELLM_HOME", "EDGELLM_STORE", "EDGELLM_STATE", "EDGELLM_SYSTEM_STORE")


class Launcher:
    """See ``ServerSource``. A server that runs already is taken as it is, and left alone.

    ``keep``: what is started here listens as the settings say and runs until somebody ends it; else it answers on its
    Unix socket alone, and ends with its last job and client. ``started`` is the process id of what was started last.
    """

    def __init__(self, settings: SettingsWithOrigin, *, keep: bool = False, config_file: str | None = None) -> None:
        self._settings = settings
        self._keep = keep
        self._config_file = config_file
        self.started: int | None = None

    def obtain(self) -> RunningServer:
        """The server of the store, the one that started first; started now where there is none. Raises BackendError
        with what the server said, AccessError."""
        found = self._find()
        if found is not None:
            return found
        with self._alone():
            return self._find() or self._start()  # another terminal may just have started it

    def _find(self) -> RunningServer | None:
        from edgellm.client.find import serving

        return serving(self._settings, self._settings.paths.store)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Two terminals that begin at the same time start one server."""
        folder = self._settings.paths.runtime
        with private_folder(folder), os_errors(f"use {folder}"):
            descriptor = os.open(folder / "start.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _start(self) -> RunningServer:
        log = self._log_file()
        with os_errors(f"write {log}"):
            log.parent.mkdir(parents=True, exist_ok=True)
            sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            with os_errors("start a server"):
                process = subprocess.Popen(
                    self._command(),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=sink,
                    cwd="/",
                    env=self._environment(),
                    start_new_session=True,  # Ctrl-C and the end of the terminal are not its affair
                )
        finally:
            os.close(sink)
        threading.Thread(target=process.wait, name="server-end", daemon=True).start()  # it leaves no zombie
        server = _ready(process)
        if server is None:
            raise BackendError(f"the server did not start: {_last_words(log)}", hint=f"{log} has all that it said")
        self.started = server.pid
        return server

    def _command(self) -> list[str]:
        config = [] if self._config_file is None else ["--config", str(Path(self._config_file).absolute())]
        life = [] if self._keep else ["--until-idle", str(_IDLE_S), "--socket-only"]
        serve = ["serve", "--json", "--no-request-log", *life]
        return [sys.executable, "-P", "-m", "edgellm.cli.main", *config, *serve]

    def _environment(self) -> dict[str, str]:
        """That of this process, in which its folders are ours: a variable is there for a folder only where the server
        would not find it by itself, so that it says of its settings what the user's own commands say."""
        from edgellm.settings import load_settings

        found = dict(os.environ)
        for name in _FOLDER_VARIABLES:  # relative ones, from here: the server runs in /
            if found.get(name):
                found[name] = str(user_path(found[name]).absolute())
        ours, theirs = self._settings.paths, load_settings(self._config_file, found, problems=[])
        for name in ("store", "state", "system_store"):
            value, folder = getattr(theirs.values, name), getattr(ours, name)
            is_relative = bool(value) and not user_path(value).is_absolute()
            if is_relative or getattr(theirs.paths, name) != folder:
                found[f"EDGELLM_{name.upper()}"] = str(folder or "")
        return found

    def _log_file(self) -> Path:
        return self._settings.paths.state / "server.log"


def _ready(process: subprocess.Popen[bytes]) -> RunningServer | None:
    """What it says when it answers; None when it ends before, or takes too long."""
    import msgspec

    assert process.stdout is not None
    until, said = time.monotonic() + _START_S, b""
    with process.stdout as pipe:
        while b"\n" not in said and (left_s := until - time.monotonic()) > 0:
            if select.select([pipe], [], [], left_s)[0]:
                part = os.read(pipe.fileno(), 1 << 16)
                if not part:
                    break
                said += part
    with contextlib.suppress(msgspec.MsgspecError):
        return msgspec.json.decode(said.partition(b"\n")[0], type=RunningServer)
    process.kill()
    return None


def _last_words(log: Path) -> str:
    """The end of what it wrote to stderr."""
    with contextlib.suppress(OSError):
        said = log.read_bytes()[-_SAID_BYTES:].decode("utf-8", "replace").strip()
        errors = [line.removeprefix("error: ") for line in said.splitlines() if line.startswith("error: ")]
        return errors[-1] if errors else said or "it said nothing"
    return "it said nothing"
