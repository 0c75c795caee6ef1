"""From an empty terminal in tmux to an answer, as a user of a device does it over ssh."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from captures import check_picture, wait_for_picture
from tmux_rig import Tmux

from edgellm.running import running_servers
from worker_rig import is_gone, wait_until

QUESTION = "Tell me of the city."

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")


@pytest.fixture
def tmux(own_home: Path, tmp_path: Path) -> Iterator[Tmux]:
    window = Tmux(
        tmp_path,
        {"EDGELLM_HOME": str(own_home), "EDGELLM_PORT": "0", "TERM": "xterm-256color", "COLORTERM": "truecolor"},
    )
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
    tmux.wait_until_gone("is loaded,")
    wait_for_picture("tui-tmux-models.svg", lambda: tmux.painted)  # what is said of it in a corner comes and goes
    tmux.keys("Enter")
    tmux.wait_for("Q4_K_M as asked for")
    tmux.keys("Escape", "/")  # at once: a terminal sends what Alt and the key would be
    tmux.wait_for("words of the name")
    tmux.type("tiny")
    tmux.wait_for("tiny ")
    tmux.keys("Escape", "r")
    tmux.wait_for("Say something")
    tmux.type("/set max_tokens 40")
    tmux.wait_for("/set max_tokens 40")
    tmux.keys("Enter")
    tmux.wait_for("max_tokens is 40")
    tmux.type(QUESTION)
    tmux.wait_for(QUESTION)
    tmux.keys("Enter")
    tmux.wait_for("first token")
    tmux.wait_for("· 2 ·")  # messages, in the list on the left
    check_picture("tui-tmux-chat.svg", tmux.painted, hidden=(QUESTION, "max_tokens"))  # it may answer otherwise
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
