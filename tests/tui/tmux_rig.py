"""A terminal of a test's own in tmux."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

__all__ = ["COLUMNS", "ROWS", "Tmux"]

COLUMNS, ROWS = 100, 30
_PATIENCE_S = 90.0


class Tmux:
    """A tmux server of its own with one window of ``COLUMNS`` x ``ROWS`` characters."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._command = ["tmux", "-S", str(folder / "tmux"), "-f", "/dev/null"]
        self._environment = {**os.environ, **environment}
        for name in ("TMUX", "COLUMNS", "LINES"):  # programs take the size from these where they are set
            self._environment.pop(name, None)

    def run(self, *arguments: str) -> str:
        """A command of tmux; what it prints."""
        done = subprocess.run(
            [*self._command, *arguments], env=self._environment, capture_output=True, check=True, timeout=30
        )
        return done.stdout.decode()

    def start(self, *command: str) -> None:
        """Run ``command`` in a shell that stays."""
        self.run("new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS), "sh")
        self.run("send-keys", "-l", " ".join(command))
        self.keys("Enter")

    def keys(self, *names: str) -> None:
        """Press keys, as tmux calls them."""
        self.run("send-keys", *names)

    def type(self, text: str) -> None:
        """Press the keys of ``text``."""
        self.run("send-keys", "-l", text)

    @property
    def shown(self) -> str:
        """The window's text."""
        return self.run("capture-pane", "-p")

    @property
    def painted(self) -> str:
        """The same with what sets colours."""
        return self.run("capture-pane", "-e", "-N", "-p")

    def wait_for(self, text: str) -> str:
        """Look at the window until ``text`` is in it; what is shown then."""
        until = time.monotonic() + _PATIENCE_S
        while text not in (shown := self.shown):
            assert time.monotonic() < until, f"no {text!r} in:\n{shown}"
            time.sleep(0.05)
        return shown

    def wait_until_gone(self, text: str) -> None:
        """Look at the window until ``text`` is not in it."""
        until = time.monotonic() + _PATIENCE_S
        while text in (shown := self.shown):
            assert time.monotonic() < until, f"still {text!r} in:\n{shown}"
            time.sleep(0.05)
