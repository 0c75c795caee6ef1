"""The worker's process as its parent sees it: started, heard, ended, and what it ended of."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import deque

from edgellm.errors import BackendError
from edgellm_runtimes.child import SIGNAL_HINTS

__all__ = ["WorkerProcess"]

_RESTART_HINT = "the next request starts it again"
_KEPT_LINES = 50
_SHOWN_LINES = 3
_LONGEST_LINE = 2000
_DYING_S = 1.0  # from the end of the socket to the end of the process
_KILLED_S = 10.0  # from SIGKILL to it, unless the kernel itself waits for a disk that does not answer


class WorkerProcess:
    """A fresh interpreter that runs ``edgellm_runtimes.worker``. ``name`` is what errors call the model.

    It ends when ``finish`` closes its pipe or this process ends. Raises BackendError when it cannot be started.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self.socket, theirs = socket.socketpair()
        parent_fd, self._alive_fd = os.pipe()
        command = [sys.executable, "-P", "-m", "edgellm_runtimes.worker"]
        command += ["--socket-fd", str(theirs.fileno()), "--parent-fd", str(parent_fd)]
        try:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,  # what libraries print is no message of ours
                stderr=subprocess.STDOUT,
                pass_fds=(theirs.fileno(), parent_fd),
                start_new_session=True,  # Ctrl-C is the parent's affair
            )
        except OSError as error:
            self.socket.close()
            os.close(self._alive_fd)
            raise BackendError(f"the worker process of {name} cannot be started: {error}") from error
        finally:
            theirs.close()
            os.close(parent_fd)
        self.pid = self._child.pid
        self._listener = threading.Thread(target=self._listen, name="edgellm-worker-output", daemon=True)
        self._listener.start()

    @property
    def lines(self) -> list[str]:
        """The last lines that it wrote to stdout and stderr."""
        return list(self._lines)

    def kill(self) -> None:
        """End it at once."""
        self._child.kill()

    def shut(self) -> None:
        """Nothing more is read or written: who waits for the socket comes back."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def finish(self) -> int | None:
        """Make sure that it has ended, and leave nothing of it open.

        Returns its exit status, negative for a signal; None when the kernel has not let it end within some seconds.
        """
        os.close(self._alive_fd)
        self.socket.close()
        try:
            status: int | None = self._child.wait(_DYING_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            try:
                status = self._child.wait(_KILLED_S)
            except subprocess.TimeoutExpired:
                status = None
        self._listener.join(_DYING_S)  # longer only if the worker left somebody with its output
        return status

    def death(self, status: int | None, hang: str | None) -> BackendError:
        """What to tell those whose requests it took along. ``status`` is what ``finish`` returned, ``hang`` why it was
        given up, as the end of a sentence."""
        if status is None:
            return BackendError(
                f"the worker process of {self._name} {hang or 'fell silent'}, and process {self.pid} cannot be ended",
                hint="most likely it waits for a disk that does not answer: check the one that holds the model",
            )
        if hang is not None:
            return BackendError(f"the worker process of {self._name} {hang}, and was ended", hint=_RESTART_HINT)
        last = "; ".join(line for line in self.lines[-_SHOWN_LINES:])
        because = f": {last}" if last else ""
        if status >= 0:
            return BackendError(f"the worker process of {self._name} ended with status {status}{because}")
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f"signal {-status}"
        verb = "was killed" if status == -signal.SIGKILL else "crashed"
        return BackendError(
            f"the worker process of {self._name} {verb} ({name}){because}",
            hint=SIGNAL_HINTS.get(name, _RESTART_HINT),
        )

    def _listen(self) -> None:
        output = self._child.stdout
        assert output is not None
        debug = os.environ.get("EDGELLM_DEBUG") == "1"
        with output:
            while raw := output.readline(_LONGEST_LINE):
                line = raw.decode("utf-8", "replace")
                if debug:
                    sys.stderr.write(line)
                if line.strip():
                    self._lines.append(line.strip())
