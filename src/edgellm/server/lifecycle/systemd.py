"""What systemd and a service say to each other: sd_notify(3), sd_listen_fds(3), sd_watchdog_enabled(3).

Its variables are taken out of the environment, so that no child process speaks in our name.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping

from edgellm.errors import UsageError

__all__ = ["Notifier", "inherited_sockets"]

_FIRST_FD = 3


class Notifier:
    """Tells the service manager how this process is. Without one every call does nothing."""

    def __init__(self, environ: MutableMapping[str, str] = os.environ) -> None:
        self._address = environ.pop("NOTIFY_SOCKET", "")
        watched = environ.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        every = environ.pop("WATCHDOG_USEC", "")
        self.watchdog_s = int(every) / 2e6 if watched and every.isdecimal() and int(every) > 0 else None
        """Say ``alive`` so often; None where nobody waits for it. Half the time after which we would be restarted."""

    def ready(self, status: str) -> None:
        """It answers requests (again)."""
        self._send(f"READY=1\nSTATUS={status}")

    def alive(self) -> None:
        """It still does."""
        self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """It reads its settings again; ``ready`` ends that."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, status: str) -> None:
        """It takes no more requests."""
        self._send(f"STOPPING=1\nSTATUS={status}")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto(message.encode("utf-8"), address)
        except OSError:  # a manager that does not listen must not stop the server: it will restart it if it cares
            return


def inherited_sockets(environ: MutableMapping[str, str] = os.environ) -> list[socket.socket]:
    """The listening sockets that systemd opened for this process. Raises UsageError for one that is of another kind."""
    pid, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    found = []
    for descriptor in range(_FIRST_FD, _FIRST_FD + int(count)):
        os.set_inheritable(descriptor, False)
        try:
            each = socket.socket(fileno=descriptor)
        except OSError as error:
            raise UsageError(f"descriptor {descriptor} of systemd's is no socket: {error}") from error
        accepts = each.type == socket.SOCK_STREAM and each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        if each.family not in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6) or not accepts:
            raise UsageError(
                f"descriptor {descriptor} of systemd's does not listen for connections",
                hint="the .socket unit needs ListenStream= and Accept=no",
            )
        found.append(each)
    return found
