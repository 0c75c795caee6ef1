from pathlib import Path

import pytest

from edgellm.errors import UsageError
from edgellm.paths import user_paths
from edgellm.settings import Settings, field_help, load_settings


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"HOME": str(tmp_path), **more}


def test_each_layer_overrides_the_one_below_and_says_so(tmp_path: Path) -> None:
    system = tmp_path / "system.toml"
    system.write_text('device = "raspberrypi4"\nmin_speed = 2.0\nthreads = 2\n')
    user = tmp_path / ".config" / "edgellm" / "config.toml"
    user.parent.mkdir(parents=True)
    user.write_text("min_speed = 3.0\nthreads = 3\n")
    settings = load_settings(environ=environment(tmp_path, EDGELLM_THREADS="4"), system_config=system)
    assert settings.values == Settings(device="raspberrypi4", min_speed=3.0, threads=4)
    assert settings.origin["device"] == str(system)
    assert settings.origin["min_speed"] == str(user)
    assert settings.origin["threads"] == "EDGELLM_THREADS"
    assert settings.origin["store"] == "default"


@pytest.mark.parametrize(
    "content", ["min_speed = -1", "colour = 'red'", "threads = 'two'", "not toml", "threads = 1.5"]
)
def test_a_bad_settings_file_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(content)
    with pytest.raises(UsageError, match=r"config\.toml"):
        load_settings(str(file), environ=environment(tmp_path), system_config=tmp_path / "none")


def test_a_bad_variable_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="EDGELLM_MIN_SPEED"):
        load_settings(environ=environment(tmp_path, EDGELLM_MIN_SPEED="fast"), system_config=tmp_path / "none")


def test_edgellm_home_moves_everything(tmp_path: Path) -> None:
    paths = user_paths({"EDGELLM_HOME": str(tmp_path), "HOME": "/nowhere"})
    assert {paths.config.parent, paths.store.parent, paths.state.parent, paths.cache.parent} == {tmp_path}


def test_relative_xdg_folders_are_ignored(tmp_path: Path) -> None:
    paths = user_paths({"HOME": str(tmp_path), "XDG_DATA_HOME": "relative"})
    assert paths.store == tmp_path / ".local/share/edgellm/store"


def test_every_setting_is_documented() -> None:
    assert all(field_help()[name] for name in Settings.__struct_fields__)
