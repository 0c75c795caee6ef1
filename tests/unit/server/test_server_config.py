"""What a server is started with."""

from __future__ import annotations

import pytest

from edgellm.errors import UsageError
from edgellm.server.config import ServerConfig, server_config
from edgellm.settings import Settings

OF_THE_MODELS = {"parallel", "isolation"}  # None in the configuration: the settings count


def test_a_server_without_settings_is_the_same_as_with_the_default_ones() -> None:
    config, settings = ServerConfig(), Settings()
    for name in set(ServerConfig.__struct_fields__) & set(Settings.__struct_fields__) - OF_THE_MODELS:
        assert getattr(config, name) == getattr(settings, name), name


def test_a_flag_counts_before_a_setting() -> None:
    settings = Settings(port=1, host="localhost")
    config = server_config(settings, {"port": 0, "host": None})
    assert (config.port, config.host) == (0, "localhost")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"port": 65536}, "0 to 65535"),
        ({"tls_key": "key.pem"}, "key without a certificate"),
        ({"tls_cert": "cert.pem"}, "without its key"),
        ({"tcp": False, "socket": ""}, "nobody could reach"),
    ],
)
def test_what_makes_no_server_is_refused(fields: dict[str, object], expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        ServerConfig(**fields)  # type: ignore[arg-type]
