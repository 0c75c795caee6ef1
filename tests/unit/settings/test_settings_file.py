"""A setting that a program keeps, in a file that a person wrote."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from edgellm.errors import EdgeLLMError, UsageError
from edgellm.settings import SettingsWithOrigin, load_settings, with_setting
from edgellm.settings_file import keep_setting


def load(home: Path, config_file: Path | None = None, **variables: str) -> SettingsWithOrigin:
    environ = {"EDGELLM_HOME": str(home), **variables}
    return load_settings(str(config_file) if config_file else None, environ, system_config=home / "none")


def write(home: Path, text: str) -> Path:
    path = home / "config" / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", 'theme = "nord"\n'),
        ("port = 1", 'port = 1\ntheme = "nord"\n'),
        ("# mine\nport = 1\n", '# mine\nport = 1\ntheme = "nord"\n'),
        ('theme = "dark"  # at night\nport = 1\n', 'theme = "nord"  # at night\nport = 1\n'),
        ("port = 1\r\n  theme='dark'\r\n", 'port = 1\r\ntheme = "nord"\r\n'),
        ('# theme = "light"\nhost = "::1"\n', '# theme = "light"\nhost = "::1"\ntheme = "nord"\n'),
    ],
)
def test_one_line_changes(tmp_path: Path, before: str, after: str) -> None:
    path = write(tmp_path, before)
    kept, stronger = keep_setting(load(tmp_path), "theme", "nord")
    assert path.read_bytes().decode() == after
    assert (kept.values.theme, kept.origin["theme"], stronger) == ("nord", str(path), "")
    again = load(tmp_path)
    assert (again.values, again.origin) == (kept.values, kept.origin)


def test_a_first_setting_makes_the_file(tmp_path: Path) -> None:
    keep_setting(load(tmp_path), "theme", "light")
    assert load(tmp_path).values.theme == "light"
    assert [path.name for path in (tmp_path / "config").iterdir()] == ["config.toml"]


@pytest.mark.parametrize("text", ['"theme" = "dark"\n', 'store = """\ntheme = "dark"\n"""\n', "theme = \n"])
def test_a_file_that_cannot_be_changed_safely_stays(tmp_path: Path, text: str) -> None:
    settings = load(tmp_path)
    path = write(tmp_path, text)
    with pytest.raises(UsageError):
        keep_setting(settings, "theme", "nord")
    assert path.read_text() == text


def test_a_value_that_would_spoil_the_file_is_not_written(tmp_path: Path) -> None:
    path = write(tmp_path, "port = 1\n")
    with pytest.raises(UsageError, match=r"theme must be one of ansi, .*not 'of-a-later-textual'"):
        keep_setting(load(tmp_path), "theme", "of-a-later-textual")
    assert path.read_text() == "port = 1\n"


def test_a_link_and_the_mode_of_the_file_stay(tmp_path: Path) -> None:
    path = write(tmp_path, "port = 1\n")
    real = tmp_path / "dotfiles.toml"
    path.rename(real)
    path.symlink_to(real)
    real.chmod(0o600)
    keep_setting(load(tmp_path), "theme", "nord")
    assert path.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    assert load(tmp_path).values.theme == "nord"


def test_what_counts_more_is_named(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('theme = "ansi"\n')
    for settings, stronger in (
        (load(tmp_path, EDGELLM_THEME="dark"), "EDGELLM_THEME"),
        (load(tmp_path, own), str(own)),
        (with_setting(load(tmp_path), "theme", "light", "--theme"), "--theme"),
    ):
        kept, named = keep_setting(settings, "theme", "nord")
        assert (kept.values.theme, kept.origin["theme"], named) == ("nord", stronger, stronger)
    assert load(tmp_path).values.theme == "nord"


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("a file")
    with pytest.raises(EdgeLLMError, match=r"config"):
        keep_setting(load(tmp_path), "theme", "nord")
