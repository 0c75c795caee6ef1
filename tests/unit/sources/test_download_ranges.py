from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgellm.sources.download.journal import Journal
from edgellm.sources.download.ranges import Ranges, split

KEY = "a" * 64
SIZE = 1000

pairs = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=15)


@given(pairs, st.tuples(st.integers(0, 60), st.integers(0, 60)))
def test_ranges_are_a_set_of_bytes(added: list[tuple[int, int]], asked: tuple[int, int]) -> None:
    ranges, expected = Ranges(), set()
    for start, stop in added:
        ranges.add(start, stop)
        expected |= set(range(start, stop))
    found = list(ranges)
    assert {byte for start, stop in found for byte in range(start, stop)} == expected
    assert all(stop < start for (_, stop), (start, _) in itertools.pairwise(found))
    missing = ranges.missing(*asked)
    assert {byte for start, stop in missing for byte in range(start, stop)} == set(range(*asked)) - expected
    assert ranges.size_bytes == len(expected)
    assert ranges.end == max(expected, default=-1) + 1
    assert ranges.prefix == next(byte for byte in range(62) if byte not in expected)


def test_split_cuts_ranges_into_pieces() -> None:
    assert split([(0, 10), (20, 23)], 4) == [(0, 4), (4, 8), (8, 10), (20, 23)]


def journal(path: Path, key: str = KEY, size_bytes: int = SIZE) -> Journal:
    return Journal(path, key, size_bytes)


def written(path: Path) -> bytes:
    """A journal of three ranges."""
    made = journal(path)
    assert list(made.open()) == []
    made.append([(0, 100), (300, 400)])
    made.append([(100, 200)])
    made.close()
    return path.read_bytes()


def reopened(path: Path, key: str = KEY, size_bytes: int = SIZE) -> list[tuple[int, int]]:
    opened = journal(path, key, size_bytes)
    found = list(opened.open())
    opened.close()
    return found


def test_a_journal_is_read_back_and_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "j"
    written(path)
    opened = journal(path)
    assert list(opened.open()) == [(0, 200), (300, 400)]
    opened.append([(200, 300)])
    opened.close()
    assert reopened(path) == [(0, 400)]
    opened = journal(path)
    opened.open()
    opened.restart()
    opened.close()
    assert reopened(path) == []


def test_a_journal_torn_anywhere_vouches_for_no_more_than_was_written(tmp_path: Path) -> None:
    path = tmp_path / "j"
    whole = written(path)
    states = ([], [(0, 100)], [(0, 100), (300, 400)], [(0, 200), (300, 400)])
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert reopened(path) in states
        opened = journal(path)
        before = opened.open()
        opened.append([(900, 1000)])
        opened.close()
        before.add(900, 1000)
        assert reopened(path) == list(before)


def test_a_damaged_journal_is_worth_nothing(tmp_path: Path) -> None:
    path = tmp_path / "j"
    whole = written(path)
    for position in range(len(whole) - 1):
        damaged = bytearray(whole)
        damaged[position] ^= 0x11
        path.write_bytes(damaged)
        assert reopened(path) == []


@pytest.mark.parametrize(("key", "size_bytes"), [("b" * 64, SIZE), (KEY, SIZE - 1)])
def test_a_journal_of_another_file_is_worth_nothing(tmp_path: Path, key: str, size_bytes: int) -> None:
    path = tmp_path / "j"
    written(path)
    assert reopened(path, key, size_bytes) == []


def test_a_journal_that_goes_beyond_the_file_is_worth_nothing(tmp_path: Path) -> None:
    path = tmp_path / "j"
    made = journal(path)
    made.open()
    made.append([(0, SIZE + 1)])
    made.close()
    assert reopened(path) == []
