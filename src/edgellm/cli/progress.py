"""Progress on stderr: one moving line on a terminal, a line per phase and per tenth elsewhere."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from types import FrameType

from edgellm.cli.console import print_message, printable, stderr_through
from edgellm.cli.event_lines import EventProgress, events_wanted
from edgellm.progress import CancelToken, Progress, SilentProgress
from edgellm.units import format_bytes, format_duration

__all__ = ["MessagesOnly", "TerminalProgress", "cancel_on_interrupt", "make_progress"]

_REFRESH_S = 0.1
_LOG_STEP = 0.1


class TerminalProgress:
    """Draws phases with bytes, speed and the time that is left."""

    def __init__(self) -> None:
        self._stream = sys.stderr
        self._live = self._stream.isatty()
        self._lock = threading.Lock()
        self._name = ""
        self._said = False  # a line that stays was written since the phase began
        self._total: int | None = None
        self._done = 0
        self._started = 0.0
        self._drawn = 0.0
        self._logged = 0.0

    def phase(self, name: str, total_bytes: int | None = None) -> None:
        """Close the phase that ran and begin the next one."""
        name = printable(name)
        with self._lock:
            self._finish()
            self._name, self._total, self._done, self._said = name, total_bytes, 0, False
            self._started = self._drawn = time.monotonic()
            self._logged = 0.0
            if self._live:
                self._draw()
            else:
                size = f" ({format_bytes(total_bytes)})" if total_bytes else ""
                self._stream.write(f"{name}{size}\n")
                self._stream.flush()

    def advance(self, size_bytes: int) -> None:
        """Count bytes; redraws at most ten times a second."""
        with self._lock:
            self._done += size_bytes
            now = time.monotonic()
            if self._live:
                if now - self._drawn >= _REFRESH_S:
                    self._drawn = now
                    self._draw()
            elif self._total and now - self._started > 2 and self._done / self._total >= self._logged + _LOG_STEP:
                self._logged = self._done / self._total
                self._stream.write(f"  {self._text()}\n")
                self._stream.flush()

    def message(self, text: str) -> None:
        """A line that stays; a long one is wrapped."""
        width = min(shutil.get_terminal_size((100, 24)).columns, 100)
        self.write(textwrap.fill(printable(text), width, break_on_hyphens=False) + "\n")

    def write(self, text: str) -> None:
        """Whole lines that stay, as they are; the line that moves goes on below them."""
        with self._lock:
            self._clear()
            self._said = True
            self._stream.write(text)
            self._stream.flush()
            if self._live and self._name:
                self._draw()

    def close(self) -> None:
        """End the last phase; below what it led to, nothing is said of it."""
        with self._lock:
            if self._said:
                self._clear()
                self._stream.flush()
            else:
                self._finish()
            self._name = ""

    def _text(self) -> str:
        elapsed = max(time.monotonic() - self._started, 1e-6)
        if not self._total:
            return f"{format_bytes(self._done)}" if self._done else format_duration(elapsed)
        share = min(self._done / self._total, 1.0)
        text = f"{share:4.0%}  {format_bytes(self._done)} of {format_bytes(self._total)}"
        if self._done and elapsed > 0.5:
            rate = self._done / elapsed
            left = max(self._total - self._done, 0) / rate
            text += f"  {format_bytes(rate)}/s  {format_duration(left)} left"
        return text

    def _draw(self) -> None:
        width = shutil.get_terminal_size((80, 24)).columns - 1
        self._stream.write("\r\x1b[K" + f"{self._name}  {self._text()}"[:width])
        self._stream.flush()

    def _clear(self) -> None:
        if self._live and self._name:
            self._stream.write("\r\x1b[K")

    def _finish(self) -> None:
        if not self._name:
            return
        if self._live:
            elapsed = time.monotonic() - self._started
            size = f"  {format_bytes(self._done)}" if self._done else ""
            self._stream.write(f"\r\x1b[K{self._name}{size}  {format_duration(elapsed)}\n")
            self._stream.flush()


class MessagesOnly(SilentProgress):
    """Progress of which only the messages are shown."""

    def message(self, text: str) -> None:
        """A line on stderr."""
        print_message(text)


@contextlib.contextmanager
def make_progress(quiet: bool) -> Iterator[Progress]:
    """Progress for one command; silent with --quiet, events where a program wants them."""
    if events_wanted():
        events = EventProgress()
        try:
            yield events
        finally:
            events.close()
        return
    if quiet:
        yield SilentProgress()
        return
    progress = TerminalProgress()
    with stderr_through(progress.write):
        try:
            yield progress
        finally:
            progress.close()


@contextlib.contextmanager
def cancel_on_interrupt() -> Iterator[CancelToken]:
    """A token that Ctrl-C, SIGTERM or a lost terminal sets; a second Ctrl-C ends at once."""
    token = CancelToken()

    def stop(signum: int, frame: FrameType | None) -> None:
        if token.cancelled and signum == signal.SIGINT:
            raise KeyboardInterrupt
        token.cancel()

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield token
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
