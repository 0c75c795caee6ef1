from __future__ import annotations

from pathlib import Path

import pytest

from edgellm.errors import UsageError
from edgellm.sources.hub.settings import DEFAULT_ENDPOINT, HubSettings, hub_settings


def test_without_variables_it_is_the_public_hub_without_a_token(tmp_path: Path) -> None:
    assert hub_settings({"HOME": str(tmp_path)}) == HubSettings(DEFAULT_ENDPOINT, None, False)
    assert hub_settings({}) == HubSettings()


def test_the_variables_of_the_hubs_own_tools_are_read() -> None:
    found = hub_settings({"HF_ENDPOINT": "https://mirror.example:8080/hub/", "HF_TOKEN": " hf_x\n"})
    assert (found.endpoint, found.token) == ("https://mirror.example:8080/hub", "hf_x")


def test_the_token_file_is_found_where_the_hubs_tools_keep_it(tmp_path: Path) -> None:
    for number, environ in enumerate(
        (
            {"HF_TOKEN_PATH": str(tmp_path / "0" / "my-token"), "HF_HOME": "/nowhere"},
            {"HF_HOME": str(tmp_path / "1")},
            {"XDG_CACHE_HOME": str(tmp_path / "2")},
            {"HOME": str(tmp_path / "3")},
        )
    ):
        below = ("my-token", "token", "huggingface/token", ".cache/huggingface/token")[number]
        path = tmp_path / str(number) / below
        path.parent.mkdir(parents=True)
        path.write_text(f"hf_{number}\n")
        assert hub_settings(environ).token == f"hf_{number}"
        assert hub_settings({**environ, "HF_TOKEN": "hf_other"}).token == "hf_other"


@pytest.mark.parametrize(("value", "offline"), [("1", True), ("true", True), ("ON", True), ("0", False), ("no", False)])
def test_offline_by_either_variable(value: str, offline: bool) -> None:
    assert hub_settings({"EDGELLM_OFFLINE": value}).offline is offline
    assert hub_settings({"HF_HUB_OFFLINE": value}).offline is offline


@pytest.mark.parametrize(
    "endpoint",
    ["huggingface.co", "ftp://x", "https://", "https://user:secret@x", "https://x?y", "https://x:99999", "http://[::1"],
)
def test_an_endpoint_that_is_no_address_is_refused(endpoint: str) -> None:
    with pytest.raises(UsageError, match="HF_ENDPOINT") as caught:
        hub_settings({"HF_ENDPOINT": endpoint})
    assert "secret" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize("token", ["hf_two words", "hf_\x01secret", "hf_sécret"])
def test_a_token_that_cannot_be_sent_is_refused_without_being_shown(token: str) -> None:
    with pytest.raises(UsageError, match="HF_TOKEN") as caught:
        hub_settings({"HF_TOKEN": token})
    assert token[3:] not in f"{caught.value} {caught.value.hint}"


def test_the_token_is_not_in_the_settings_text() -> None:
    assert "hf_secret" not in repr(HubSettings(token="hf_secret"))
