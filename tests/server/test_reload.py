"""SIGHUP."""

from __future__ import annotations

import signal
from pathlib import Path

from serve_rig import serving, wait_until


def test_settings_are_read_again_and_a_mistake_in_them_changes_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "config").mkdir(parents=True)
    config = home / "config" / "config.toml"
    with serving(home) as server:
        config.write_text("drain_s = 1")
        server.signal(signal.SIGHUP)
        wait_until(lambda: "settings read again" in server.said(), "the reload")
        config.write_text("drain_s = 'soon'")
        server.signal(signal.SIGHUP)
        wait_until(lambda: "the former settings stay" in server.said(), "the refusal")
        assert "drain_s must be" in server.said()
        with server.client() as client:
            assert client.get("/api/edgellm/version").status_code == 200


def test_what_needs_a_restart_is_said(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "config").mkdir(parents=True)
    with serving(home) as server:
        (home / "config" / "config.toml").write_text('host = "0.0.0.0"')
        server.signal(signal.SIGHUP)
        wait_until(lambda: "host is now 0.0.0.0: that needs a restart" in server.said(), "the warning")
