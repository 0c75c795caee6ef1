"""How models are kept: what is given to the server, else the settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgellm.errors import UsageError
from edgellm.server.config import ServerConfig
from edgellm.server.models.pins import Pins
from edgellm.server.models.policy import ModelPolicy, model_policy
from edgellm.settings import load_settings


def policy_of(config: ServerConfig, **variables: str) -> ModelPolicy:
    environ = {f"EDGELLM_{name.upper()}": value for name, value in variables.items()}
    return model_policy(config, load_settings(environ=environ, system_config=Path("/nowhere")))


def test_settings_count_where_nothing_is_given() -> None:
    found = policy_of(ServerConfig(), memory_budget="512MiB", parallel="3", keep_alive="1h30m", isolation="process")
    assert found == ModelPolicy(budget_bytes=512 << 20, parallel=3, keep_alive_s=5400, isolation="process")


def test_what_is_given_counts_before_the_settings() -> None:
    config = ServerConfig(memory_budget_bytes=1 << 30, parallel=2, keep_alive_s=-1, isolation="worker")
    found = policy_of(config, memory_budget="512MiB", parallel="3", keep_alive="0", isolation="process")
    assert found == ModelPolicy(budget_bytes=1 << 30, parallel=2, keep_alive_s=-1, isolation="worker")


def test_without_a_word_models_stay_five_minutes_in_what_is_free() -> None:
    found = policy_of(ServerConfig(isolation="worker"))
    assert found == ModelPolicy(budget_bytes=None, parallel=0, keep_alive_s=300, isolation="worker")


@pytest.mark.parametrize(
    ("name", "value"),
    [("memory_budget", "much"), ("keep_alive", "soon"), ("parallel", "-1"), ("isolation", "thread")],
)
def test_a_setting_that_is_none_is_an_error_that_names_it(name: str, value: str) -> None:
    with pytest.raises(UsageError) as refused:
        policy_of(ServerConfig(), **{name: value})
    assert value in refused.value.message


def test_pins_are_remembered_and_a_damaged_file_is_said(tmp_path: Path) -> None:
    file = tmp_path / "state" / "pins.json"
    pins = Pins(file)
    pins.set("b:a", True)
    pins.set("a:a", True)
    pins.set("b:a", False)
    assert Pins(file).names == ["a:a"]
    file.write_text("{")
    with pytest.raises(UsageError, match="not a list of names"):
        Pins(file)
