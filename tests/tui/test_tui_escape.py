"""Escape and a key that follows it at once, in a terminal."""

from __future__ import annotations

from pathlib import Path

from terminal_rig import terminal

from server_process import RunningServer


def test_what_follows_escape_goes_where_escape_leads(own_home: Path, own_server: RunningServer) -> None:
    with terminal(own_home, "tui") as window:
        window.wait_for("free for models")
        window.press("/")
        window.wait_for("words of the name")
        window.press("nothing of the kind")
        window.wait_for("No model has")
        window.press("\x1ba")  # Esc shows all again and goes to the table, in which a adds a model
        window.wait_for("Add a model")
        window.press("\x1bq")
        assert window.end() == 0


def test_alt_and_enter_begin_a_line(own_home: Path, own_server: RunningServer) -> None:
    with terminal(own_home, "chat", "tiny-llm") as window:
        window.wait_for("Say something")
        window.press("/sys\x1b\rtem")
        window.wait_for("tem")
        window.press("\x11")
        assert window.end() == 0
    drafts = [path for path in (own_home / "state" / "conversations").iterdir() if path.read_text() == "/sys\ntem"]
    assert len(drafts) == 1
