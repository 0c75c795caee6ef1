import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgellm.errors import UsageError
from edgellm.units import format_bytes, format_count, format_duration, parse_bytes, parse_duration_s


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("4GiB", 4 * 2**30),
        ("8GB", 8 * 10**9),
        ("512 MiB", 512 * 2**20),
        ("1.5Gi", 3 * 2**29),
        ("1024", 1024),
        ("2k", 2000),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, size_bytes: int) -> None:
    assert parse_bytes(text) == size_bytes


@pytest.mark.parametrize("text", ["", "GiB", "-4GiB", "4 gigs", "0", "1e9", "9999999999999TiB", "4GiB4"])
def test_what_is_no_size_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        parse_bytes(text)


@given(st.text(max_size=12))
def test_any_text_gives_a_size_or_a_usage_error(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert parse_bytes(text) > 0


def test_numbers_are_written_short() -> None:
    assert format_bytes(512) == "512 B"
    assert format_bytes(3.4 * 2**30) == "3.4 GiB"
    assert format_bytes(512 * 2**20) == "512 MiB"
    assert format_count(8_400_000) == "8.4M"
    assert format_count(999) == "999"
    assert format_duration(0.84) == "0.8 s"
    assert format_duration(185) == "3:05 min"
    assert format_duration(3720) == "1:02 h"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5m", 300), ("1h30m", 5400), ("90s", 90), ("90", 90), ("1.5h", 5400), ("-1", -1), ("-1m", -60), ("250ms", 0.25)],
)
def test_durations_are_read_as_ollama_writes_them(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "m", "5 m", "5x", "1m30", "nan", "inf", "9999999999999", "--5"])
def test_what_is_no_duration_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        parse_duration_s(text)
