"""The command line in a terminal of its own: what it draws, and how it leaves."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["Terminal", "terminal"]

_PATIENCE_S = 60.0
_RUN = (
    "import fcntl, os, signal, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "signal.signal(signal.SIGHUP, signal.SIG_DFL); "  # as a terminal has it, also where tests run below nohup
    "os.execv(sys.executable, sys.argv[1:])"
)
_SEQUENCE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|P[^\x1b]*\x1b\\|.)")


class Terminal:
    """``drawn`` is everything that came; ``text`` the same without what moves the cursor and sets colours."""

    def __init__(self, process: subprocess.Popen[bytes], controller: int, device: int) -> None:
        self.process = process
        self.drawn = b""
        self._controller = controller
        self._device = device
        self.before = termios.tcgetattr(device)

    @property
    def text(self) -> str:
        return _SEQUENCE.sub(b"", self.drawn).decode("utf-8", "replace")

    @property
    def attributes(self) -> list[Any]:
        """How the terminal is set now."""
        return termios.tcgetattr(self._device)

    def press(self, keys: str) -> None:
        os.write(self._controller, keys.encode())

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._controller, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def hang_up(self) -> None:
        """The window is closed, or the line is lost."""
        os.close(self._controller)
        self._controller = -1

    def close(self) -> None:
        """Let go of it."""
        if self._controller >= 0:
            self.hang_up()
        os.close(self._device)

    def wait_for(self, text: str) -> None:
        """Read until ``text`` was drawn."""
        until = time.monotonic() + _PATIENCE_S
        while text not in self.text:
            assert time.monotonic() < until, f"no {text!r} in:\n{self.text[-3000:]}"
            assert self.read() or self.process.poll() is None, f"it ended without {text!r}:\n{self.text[-3000:]}"

    def read(self) -> bool:
        """What has come; False where nothing did for a moment."""
        if not select.select([self._controller], [], [], 0.1)[0]:
            return False
        with contextlib.suppress(OSError):
            part = os.read(self._controller, 1 << 16)
            self.drawn += part
            return bool(part)
        return False

    def settle(self) -> None:
        """Read until nothing is drawn for a moment: what is drawn for ever costs a slow line and a battery."""
        until = time.monotonic() + _PATIENCE_S
        while self.read():
            assert time.monotonic() < until, f"it draws without an end:\n{self.text[-3000:]}"

    def end(self) -> int:
        """Read until it has ended; its exit status."""
        until = time.monotonic() + _PATIENCE_S
        while self.process.poll() is None:
            assert time.monotonic() < until, f"it does not end:\n{self.text[-3000:]}"
            self.read()
        while self.read():
            pass
        return self.process.returncode


@contextlib.contextmanager
def terminal(home: Path, *arguments: str, size: tuple[int, int] = (80, 24), **variables: str) -> Iterator[Terminal]:
    """`edgellm ARGUMENTS` in a terminal, over the store in ``home``; killed at the end."""
    controller, device = pty.openpty()
    plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLORTERM")}
    environment = {**plain, "EDGELLM_HOME": str(home), "TERM": "xterm-256color", "EDGELLM_PORT": "0", **variables}
    command = [sys.executable, "-m", "edgellm.cli.main", *arguments]
    fcntl.ioctl(controller, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", _RUN, *command],  # it is the terminal that Ctrl-C and a closed window come from
        env=environment,
        stdin=device,
        stdout=device,
        stderr=device,
        start_new_session=True,
    )
    screen = Terminal(process, controller, device)
    try:
        yield screen
    finally:
        process.kill()
        process.wait()
        screen.close()
