import pytest

from edgellm.errors import UsageError
from edgellm.toml import parse_toml


@pytest.mark.parametrize(
    "data",
    [
        b".".join([b"a"] * 60_000) + b"=1",
        b"x=" + b"9" * 100_000,
        b"x=" + b"[" * 100_000,
        b"\xff\xfe",
        b"x=",
    ],
    ids=["dots", "digits", "brackets", "bytes", "torn"],
)
def test_a_bomb_is_refused_like_any_other_nonsense(data: bytes) -> None:
    with pytest.raises(UsageError, match=r"mine\.toml is not valid TOML"):
        parse_toml(data, "mine.toml")


def test_what_is_valid_is_read() -> None:
    assert parse_toml(b"a.b = 1", "x") == {"a": {"b": 1}}
