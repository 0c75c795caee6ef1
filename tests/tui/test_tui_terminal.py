"""The program in a real terminal: how it begins, and that it leaves the terminal as it was."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
from terminal_rig import terminal

from cli_process import Cli
from edgellm.running import running_servers
from worker_rig import is_gone, wait_until

_LEAVE_SCREEN = b"\x1b[?1049l"
_SHOW_CURSOR = b"\x1b[?25h"


@pytest.mark.parametrize(
    ("how", "status"),
    [("ctrl-c", 0), ("q", 0), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)],
    ids=["ctrl-c", "q", "SIGTERM", "SIGHUP", "SIGINT"],
)
def test_however_it_ends_the_terminal_is_as_before(own_home: Path, how: str | signal.Signals, status: int) -> None:
    with terminal(own_home, "tui") as screen:
        screen.wait_for("free for models")
        assert screen.attributes != screen.before  # keys come as they are pressed
        if isinstance(how, signal.Signals):
            screen.process.send_signal(how)
        else:
            screen.press({"ctrl-c": "\x03", "q": "q"}[how])
        assert screen.end() == status
        assert screen.attributes == screen.before
        assert _LEAVE_SCREEN in screen.drawn
        assert _SHOW_CURSOR in screen.drawn.rpartition(_LEAVE_SCREEN)[0] + screen.drawn.rpartition(_LEAVE_SCREEN)[2]
        assert "Traceback" not in screen.text


def test_edgellm_alone_is_the_tui_and_its_server_ends_after_it(own_home: Path) -> None:
    with terminal(own_home) as screen:
        screen.wait_for("free for models")
        (server,) = running_servers(own_home / "run")
        assert server.url is None  # nothing listens on the network unasked
        assert server.store == str(own_home / "store")
        screen.press("q")
        assert screen.end() == 0
    wait_until(lambda: is_gone(server.pid))
    assert running_servers(own_home / "run") == []


def test_two_terminals_share_one_server(own_home: Path) -> None:
    with terminal(own_home, "tui") as one, terminal(own_home, "tui") as other:
        one.wait_for("free for models")
        other.wait_for("free for models")
        (server,) = running_servers(own_home / "run")
        one.press("q")
        assert one.end() == 0
        other.press("\x1b[B ")  # it still answers the other: Space loads the model
        other.wait_for("1 loaded")
        other.press("q")
        assert other.end() == 0
    wait_until(lambda: is_gone(server.pid))


def test_every_mode_survives_small_and_large_windows(own_home: Path) -> None:
    with terminal(own_home, "tui") as screen:
        screen.wait_for("free for models")
        for number in (11, 12, 13, 14, 15, 17):
            screen.press(f"\x1b[{number}~")  # F1 to F6
            for size in ((40, 10), (200, 60), (1, 1), (80, 24)):
                screen.resize(*size)
                screen.process.send_signal(signal.SIGWINCH)
                screen.settle()
        screen.press("\x11")  # Ctrl+Q
        assert screen.end() == 0
        assert "Traceback" not in screen.text


def test_it_says_why_no_server_starts_and_goes_on(own_home: Path) -> None:
    pins = own_home / "state" / "server-pins.json"
    pins.parent.mkdir()
    pins.write_text("not a list")
    with terminal(own_home, "tui", size=(160, 24)) as screen:
        screen.wait_for("is not a list of names")
        pins.unlink()
        screen.press("\x12")  # Ctrl+R
        screen.wait_for("free for models")


def test_a_console_with_few_colours_gets_its_own(own_home: Path) -> None:
    with terminal(own_home, "tui", TERM="linux") as screen:
        screen.wait_for("free for models")
        assert b"\x1b[38;2;" not in screen.drawn  # no colour of 24 bits


def test_no_color_has_no_colours(own_home: Path) -> None:
    with terminal(own_home, "tui", NO_COLOR="1", COLORTERM="truecolor") as screen:
        screen.wait_for("free for models")
        colours = set(re.findall(rb"[34]8;2;(\d+);(\d+);(\d+)", screen.drawn))
    assert colours
    assert [colour for colour in colours if len(set(colour)) > 1] == []  # shades of grey


@pytest.mark.parametrize(("command", "text"), [("tui", "free for models"), ("chat", "Say something")])
def test_the_theme_is_a_setting(command: str, text: str, own_home: Path) -> None:
    with terminal(own_home, command, EDGELLM_THEME="light", COLORTERM="truecolor") as screen:
        screen.wait_for(text)
        assert b"48;2;219;226;233" in screen.drawn  # the panel of the light theme


def test_without_a_terminal_it_is_refused_with_the_way_out(own_home: Path) -> None:
    told = Cli(own_home).run("tui", status=2)
    assert "no terminal" in told.stderr
    assert "edgellm list" in told.stderr


def test_edgellm_alone_without_a_terminal_shows_the_commands(own_home: Path) -> None:
    told = Cli(own_home).run(status=2)
    assert "Commands:" in told.stdout + told.stderr
