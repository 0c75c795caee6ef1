"""The terminal program in a pseudo-terminal: started, typed to, read, and what it costs. Linux: it reads /proc."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Cost", "Terminal", "terminal"]

_TICKS = os.sysconf("SC_CLK_TCK")
_CHILD = Path(__file__).with_name("tui_child.py")
_PATIENCE_S = 30.0


class Cost(NamedTuple):
    """What a process has cost until now."""

    cpu_s: float  # user and system
    rss_bytes: int


class Terminal:
    """``edgellm`` with ``arguments`` in a terminal of ``columns`` x ``rows``."""

    def __init__(self, process: subprocess.Popen[bytes], master: int, marks: Path, begun: float) -> None:
        self.process = process
        self.begun = begun  # seconds since the epoch
        self._master = master
        self._marks = marks
        self._seen = b""
        self.painted_bytes = 0

    def read(self, seconds: float) -> None:
        """Take what it paints for so long, as a terminal does at once."""
        until = time.monotonic() + seconds
        while (left_s := until - time.monotonic()) > 0:
            self._read_once(left_s)

    def wait_for(self, text: str, patience_s: float = _PATIENCE_S) -> float:
        """Read until ``text`` was painted; when that was, in seconds since the epoch."""
        until, wanted = time.monotonic() + patience_s, text.encode()
        while wanted not in self._seen:
            if time.monotonic() > until or self.process.poll() is not None:
                raise RuntimeError(f"{text!r} was not painted; the last bytes: {self._seen[-400:]!r}")
            self._read_once(0.5)
        return time.time()

    def forget(self) -> None:
        """What was painted until now is not looked at again."""
        self._seen = b""

    def type(self, keys: str) -> None:
        """Send keys as a terminal does."""
        data = keys.encode()
        while data:
            data = data[os.write(self._master, data) :]

    def cost(self) -> Cost:
        """Of the process itself, its children apart."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        rss = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return Cost((int(fields[11]) + int(fields[12])) / _TICKS, int(rss.split()[1]) << 10)

    def cpu_s(self) -> float:
        """Processor time of its main thread and all others, to a microsecond where the kernel tells."""
        total_ns = 0
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            with contextlib.suppress(OSError):
                total_ns += int((task / "schedstat").read_text().split()[0])
        return total_ns / 1e9

    def marks(self) -> dict[str, Any]:
        """What the child wrote down: moments, and the longest step since ``reset_marks``."""
        self._marks.unlink(missing_ok=True)
        self.process.send_signal(signal.SIGUSR1)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            self._read_once(0.02)
            with contextlib.suppress(OSError, ValueError):
                return dict(json.loads(self._marks.read_text()))
        raise RuntimeError("the child wrote no marks")

    def reset_marks(self) -> None:
        """Longest steps count from now on."""
        self.marks()

    def _read_once(self, seconds: float) -> None:
        if select.select([self._master], [], [], seconds)[0]:
            try:
                part = os.read(self._master, 1 << 16)
            except OSError as error:
                if error.errno != errno.EIO:  # its side is closed
                    raise
                part = b""
                time.sleep(0.01)
            self.painted_bytes += len(part)
            self._seen = (self._seen + part)[-(1 << 20) :]


@contextlib.contextmanager
def terminal(
    home: Path, arguments: Sequence[str], work: Path, *, columns: int = 120, rows: int = 40
) -> Iterator[Terminal]:
    """Run it over the store in ``home``; ended with its own key, else killed."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    marks = work / f"marks-{time.monotonic_ns()}.json"
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("EDGELLM_", "NO_COLOR"))}
    environ |= {
        "EDGELLM_HOME": str(home),
        "EDGELLM_SYSTEM_STORE": "",
        "EDGELLM_PORT": "0",
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "COLUMNS": str(columns),
        "LINES": str(rows),
    }
    begun = time.time()
    process = subprocess.Popen(
        [sys.executable, "-P", str(_CHILD), str(marks), *arguments],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environ,
        start_new_session=True,
    )
    os.close(slave)
    found = Terminal(process, master, marks, begun)
    try:
        yield found
        found.type("\x11")  # Ctrl+Q
        with contextlib.suppress(subprocess.TimeoutExpired, RuntimeError):
            until = time.monotonic() + 10
            while process.poll() is None and time.monotonic() < until:
                found._read_once(0.05)
    finally:
        process.kill()
        process.wait()
        os.close(master)
