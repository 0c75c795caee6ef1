"""The log and the settings as the terminal shows them."""

from __future__ import annotations

import time
from typing import Any

import pytest

from edgellm.api.log import LogLine
from edgellm.api.watching import SettingOrigin
from edgellm.settings import Settings
from edgellm.tui.models.log_rows import LogFilter, gap_row, log_rows
from edgellm.tui.models.setting_rows import change_lines, config_line, setting_rows
from edgellm.tui.models.text import moment, one_line, shortened


def line(level: str = "info", message: str = "hello", logger: str = "edgellm.server", **fields: Any) -> LogLine:
    return LogLine(1, 1_795_690_476.2, level, logger, message, **fields)


LINES = [
    line(message="tiny-llm loaded in 1.10 s"),
    line(message="GET /health 200", logger="edgellm.access"),
    line("warning", "this machine slows itself down"),
    line("error", "internal error", traceback="Traceback:\n  KeyError: 'Tiny'"),
    line("warning", "the request was refused", logger="edgellm.access"),
]


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [
        (LogFilter(), [0, 1, 2, 3, 4]),
        (LogFilter("no requests"), [0, 2, 3, 4]),
        (LogFilter("warnings"), [2, 3, 4]),
        (LogFilter("errors"), [3]),
        (LogFilter(words="TINY"), [0, 3]),
        (LogFilter(words="loaded tiny"), [0]),
        (LogFilter(words="access"), [1, 4]),
        (LogFilter("errors", "nothing"), []),
    ],
)
def test_a_filter_shows_what_is_asked_for(wanted: LogFilter, shown: list[int]) -> None:
    assert [number for number, each in enumerate(LINES) if wanted.shows(each)] == shown


def test_a_line_cannot_steer_the_terminal_and_a_traceback_follows_it() -> None:
    first, second, third = log_rows(line("error", "a\x1b[2Jb\nc", traceback="one\n\x07two"))
    assert first.moment == time.strftime("%H:%M:%S", time.localtime(1_795_690_476))
    assert (first.text, first.tone) == ("error: a\\x1b[2Jb c", "bad")
    assert (second.moment, second.text, third.text) == ("", "one", "\\x07two")


def test_lines_that_are_missing_are_said() -> None:
    assert gap_row(1).text.startswith("1 line missed")
    assert gap_row(7).text.startswith("7 lines missed")


def test_settings_with_where_they_come_from() -> None:
    found = {
        "threads": SettingOrigin(4, "EDGELLM_THREADS"),
        "device": SettingOrigin(None, "default"),
        "drain_s": SettingOrigin(60.0, "default"),
        "cache_folder": SettingOrigin("/home/me/.cache/edgellm", "XDG_CACHE_HOME"),
    }
    rows = setting_rows(found)
    assert [(row.value, row.tone) for row in rows] == [("4", "good"), ("-", "quiet"), ("60", "quiet"), rows[3][1:5:3]]
    assert all(row.about for row in rows)
    assert [row.name for row in setting_rows(found, "threads")] == ["threads"]
    assert [row.name for row in setting_rows(found, "default folder")] == []
    assert [row.name for row in setting_rows(found, "edgellm_threads")] == ["threads"]
    assert change_lines(rows[3], "/c") == []
    lines = change_lines(rows[0], "/home/me/.config/edgellm")
    assert lines[:2] == [("config.toml", "threads = 4"), ("environment", "EDGELLM_THREADS=4")]
    assert ("file", "/home/me/.config/edgellm/config.toml") in lines


def test_a_flag_that_is_in_force_is_said_to_count_most() -> None:
    (row,) = setting_rows({"port": SettingOrigin(8080, "--port")})
    assert ("command line", "--port, which is in force") in change_lines(row, "/c")


def test_the_line_for_the_file_is_what_the_file_takes() -> None:
    from edgellm.toml import parse_toml

    values = {
        "keep_alive": "5m",
        "port": 11434,
        "min_speed": 5.0,
        "host": '::1"\\',
        "isolation": "auto",
        "drain_s": 0.5,
    }
    for row in setting_rows({name: SettingOrigin(value, "default") for name, value in values.items()}):
        table = parse_toml(config_line(row).encode(), "a line")
        assert table == {row.name: values[row.name]}
        assert row.name in Settings.__struct_fields__


def test_moments_as_people_say_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    try:
        now_s = 1_795_690_476.0  # 26 November 2026, 10:54
        assert moment(now_s - 3600, now_s) == "09:54"
        assert moment(now_s - 86400, now_s) == "25 Nov 10:54"
        assert moment(now_s - 400 * 86400, now_s) == "22 Oct 2025"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_long_names_keep_both_ends() -> None:
    assert shortened("raspberrypi5-q4_k_m", 11) == "raspb…4_k_m"
    assert shortened("short", 5) == "short"
    assert shortened("abcdef", 3) == "abc"
    assert one_line("a\tb") == "a b"
