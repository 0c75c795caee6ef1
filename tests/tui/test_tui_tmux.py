"""From an empty terminal in tmux to an answer, as a user of a device does it over ssh."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from edgellm.running import running_servers
from worker_rig import is_gone, wait_until

_PATIENCE_S = 90.0

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")


class Tmux:
    """A tmux server of its own with one window of 100 x 30 characters."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._command = ["tmux", "-S", str(folder / "tmux"), "-f", "/dev/null"]
        self._environment = {**os.environ, **environment}
        self._environment.pop("TMUX", None)

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self._command, *arguments], env=self._environment, capture_output=True, check=True, timeout=30
        )
        return done.stdout.decode()

    def start(self, *command: str) -> None:
        """Run ``command`` in a shell that stays."""
        self.run("new-session", "-d", "-x", "100", "-y", "30", "sh")
        self.run("send-keys", "-l", " ".join(command))
        self.keys("Enter")

    def keys(self, *names: str) -> None:
        self.run("send-keys", *names)

    def type(self, text: str) -> None:
        self.run("send-keys", "-l", text)

    @property
    def shown(self) -> str:
        return self.run("capture-pane", "-p")

    def wait_for(self, text: str) -> str:
        until = time.monotonic() + _PATIENCE_S
        while text not in (shown := self.shown):
            assert time.monotonic() < until, f"no {text!r} in:\n{shown}"
            time.sleep(0.05)
        return shown


@pytest.fixture
def tmux(own_home: Path, tmp_path: Path) -> Iterator[Tmux]:
    window = Tmux(tmp_path, {"EDGELLM_HOME": str(own_home), "EDGELLM_PORT": "0", "TERM": "xterm-256color"})
    try:
        yield window
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):  # its last window was closed
            window.run("kill-server")


def test_from_the_shell_to_an_answer_and_back(tmux: Tmux, own_home: Path) -> None:
    tmux.start(sys.executable, "-m", "edgellm.cli.main")
    tmux.wait_for("free for models")
    (server,) = running_servers(own_home / "run")
    tmux.keys("Space")
    tmux.wait_for("1 loaded")
    tmux.keys("Enter")
    tmux.wait_for("Q4_K_M as asked for")
    tmux.keys("Escape")
    tmux.wait_for("Tok/s")  # the table again; Escape and a key at once are another key
    tmux.keys("r")
    tmux.wait_for("Say something")
    tmux.type("Tell me of the city.")
    tmux.wait_for("Tell me of the city.")
    tmux.keys("Enter")
    tmux.wait_for("first token")
    tmux.keys("C-q")
    tmux.wait_for("edgellm.cli.main")  # what was on the terminal before
    tmux.type("echo shell-$((40+2))")
    tmux.keys("Enter")
    tmux.wait_for("shell-42")  # a shell that works
    wait_until(lambda: is_gone(server.pid))


def test_a_window_that_is_closed_ends_it_and_its_server(tmux: Tmux, own_home: Path) -> None:
    tmux.start(sys.executable, "-m", "edgellm.cli.main")
    tmux.wait_for("free for models")
    (server,) = running_servers(own_home / "run")
    program = psutil.Process(server.pid).ppid()
    assert program > 1
    tmux.run("kill-session")
    wait_until(lambda: is_gone(program))
    wait_until(lambda: is_gone(server.pid))
