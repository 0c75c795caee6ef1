"""What prefixes on disk may take and write: caps, days, disks that are full or read-only, several processes."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from edgellm.files import tree_bytes
from edgellm.progress import SilentProgress
from edgellm_runtimes.kv_store import PrefixFolder, PrefixKey, PrefixKind, PrefixStore
from tmpfs import fill, make_read_only, tmpfs

KEY = PrefixKey("sha256:" + "1" * 64, {})
OTHER = PrefixKey("sha256:" + "2" * 64, {})
DAY_S = 86400
STATE = os.urandom(100_000)


class Messages(SilentProgress):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def message(self, text: str) -> None:
        self.texts.append(text)


class Clock:
    def __init__(self, time_s: float) -> None:
        self.time_s = time_s

    def __call__(self) -> float:
        return self.time_s


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "prefixes"


def save(store: PrefixStore, tokens: Sequence[int], *, kind: PrefixKind = "system", state: bytes = STATE) -> bool:
    done = store.save(tokens, lambda path: path.write_bytes(state), size_bytes=len(state), kind=kind)
    store.flush()
    return done


def age(folder: Path, store: PrefixStore, tokens: Sequence[int], time_s: float) -> None:
    """Let the prefix of ``tokens`` have been used last at ``time_s``."""
    match = store.find(tokens)
    assert match is not None
    os.utime(folder / match.prefix.name, (time_s, time_s))


def present(store: PrefixStore, *starts: int) -> list[int]:
    return [start for start in starts if store.find([start]) is not None]


def test_the_longest_unused_goes_first(folder: Path) -> None:
    store = PrefixStore(folder, KEY, byte_cap=350_000, keep_free_bytes=0)
    for start, last_used in ((1, 300.0), (2, 100.0), (3, 200.0)):
        save(store, [start])
        age(folder, store, [start], last_used)
    assert save(store, [4])
    assert present(store, 1, 2, 3, 4) == [1, 3, 4]
    assert save(store, [5])
    assert present(store, 1, 3, 4, 5) == [1, 4, 5]
    assert tree_bytes(folder) <= 350_000


def test_conversations_go_before_system_prompts(folder: Path) -> None:
    store = PrefixStore(folder, KEY, byte_cap=350_000, keep_free_bytes=0)
    save(store, [1])
    age(folder, store, [1], 100.0)
    save(store, [2], kind="chat")
    save(store, [3], kind="chat")
    save(store, [4], kind="chat")
    assert present(store, 1, 2, 3, 4) in ([1, 2, 4], [1, 3, 4])


def test_the_cap_is_over_all_models(folder: Path) -> None:
    other = PrefixStore(folder, OTHER, byte_cap=250_000, keep_free_bytes=0)
    for start in (1, 2):
        save(other, [start])
        age(folder, other, [start], float(start))
    store = PrefixStore(folder, KEY, byte_cap=250_000, keep_free_bytes=0)
    assert save(store, [3])
    assert present(other, 1, 2) == [2]
    assert present(store, 3) == [3]


def test_what_is_larger_than_the_cap_is_not_saved_and_removes_nothing(folder: Path) -> None:
    messages = Messages()
    store = PrefixStore(folder, KEY, byte_cap=250_000, keep_free_bytes=0, progress=messages)
    save(store, [1])
    for start in (2, 3):
        assert not save(store, [start], state=bytes(250_000))
    assert present(store, 1) == [1]
    assert store.statistics().over_cap == 2
    assert len(messages.texts) == 1
    assert "was not saved" in messages.texts[0]


def test_a_use_is_noted_at_most_once_a_day(folder: Path) -> None:
    clock = Clock(1000 * DAY_S)
    store = PrefixStore(folder, KEY, keep_free_bytes=0, clock=clock)
    save(store, [1])
    age(folder, store, [1], clock.time_s)
    (path,) = folder.glob("*.kv")
    for hours, noted in ((1, 0), (23, 0), (24, 24), (47, 24), (49, 49)):
        clock.time_s = 1000 * DAY_S + hours * 3600
        match = store.find([1])
        assert match is not None
        prefix = store.open(match.prefix)
        assert prefix is not None
        prefix.close()
        assert path.stat().st_mtime == 1000 * DAY_S + noted * 3600


def test_a_day_has_its_share_and_the_next_one_a_new_one(folder: Path) -> None:
    clock, messages = Clock(1000 * DAY_S + 20 * 3600), Messages()
    store = PrefixStore(folder, KEY, daily_write_cap=250_000, keep_free_bytes=0, clock=clock, progress=messages)
    assert [save(store, [start]) for start in (1, 2, 3)] == [True, True, False]
    other = PrefixStore(folder, OTHER, daily_write_cap=250_000, keep_free_bytes=0, clock=clock)
    assert not save(other, [1])  # the share is the disk's, whoever writes
    PrefixFolder(folder).clear()
    assert not save(store, [1])
    clock.time_s += 3 * 3600
    assert not save(store, [4])
    clock.time_s += 3600  # midnight
    assert save(store, [4])
    assert (store.statistics().over_daily_cap, other.statistics().over_daily_cap) == (3, 1)
    assert len(messages.texts) == 1
    clock.time_s -= 30 * DAY_S  # a board without a clock has lost the date
    assert save(store, [5])


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"day":1000}', b'{"day":1000,"size_bytes":-1e9}'])
def test_a_lost_count_starts_again(folder: Path, content: bytes) -> None:
    clock = Clock(1000 * DAY_S)
    store = PrefixStore(folder, KEY, daily_write_cap=150_000, keep_free_bytes=0, clock=clock)
    assert save(store, [1])
    assert not save(store, [2])
    (folder / ".written").write_bytes(content)
    assert save(store, [2])
    assert not save(store, [3])


def test_a_slow_disk_is_not_given_more_than_it_takes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = PrefixStore(folder, KEY, keep_free_bytes=0)
    slow, fsync = threading.Event(), os.fsync

    def wait_for_the_disk(descriptor: int) -> None:
        slow.wait(30)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", wait_for_the_disk)
    done = [
        store.save([start], lambda path: path.write_bytes(STATE), size_bytes=len(STATE), kind="system")
        for start in (1, 2, 3)
    ]
    assert done == [True, True, False]
    assert store.statistics().busy == 1
    slow.set()
    store.flush()
    assert present(store, 1, 2, 3) == [1, 2]
    assert save(store, [3])


def test_the_last_of_a_disk_is_left_to_others(folder: Path) -> None:
    messages = Messages()
    store = PrefixStore(folder, KEY, keep_free_bytes=2**62, progress=messages)
    assert not save(store, [1])
    assert "nearly full" in messages.texts[0]
    assert list(folder.glob("*.kv")) == []


def test_a_full_disk_is_a_message_and_leaves_what_was_there(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "disk", "size=2m") as disk:
        messages = Messages()
        store = PrefixStore(disk / "prefixes", KEY, keep_free_bytes=0, progress=messages)
        assert save(store, [1])
        fill(disk, 160_000)
        assert not store.save([2], lambda path: path.write_bytes(bytes(300_000)), size_bytes=1000, kind="system")
        store.flush()
        assert not save(store, [3], state=bytes(500_000))
        assert present(store, 1, 2, 3) == [1]
        assert store.statistics().failed == 2
        assert len(messages.texts) == 2
        assert not list((disk / "prefixes").glob("*.tmp"))
        (disk / "filler").unlink()
        assert save(store, [2])


def test_a_disk_that_fills_up_behind_our_back_leaves_no_torn_file(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "disk", "size=2m") as disk:
        store = PrefixStore(disk / "prefixes", KEY, keep_free_bytes=0)

        def write(path: Path) -> None:
            path.write_bytes(bytes(4096 * 20))
            fill(disk, 0)

        assert store.save([1], write, size_bytes=4096 * 20, kind="system")  # its header finds no room
        store.flush()
        assert store.statistics().failed == 1
        assert [path.name for path in (disk / "prefixes").iterdir()] == [".written"]


def test_a_read_only_disk_gives_what_it_has_and_takes_nothing(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "disk", "size=4m") as disk:
        messages = Messages()
        clock = Clock(4e9)  # so far ahead that the use would be noted
        store = PrefixStore(disk / "prefixes", KEY, keep_free_bytes=0, progress=messages, clock=clock)
        save(store, [1])
        make_read_only(disk)
        again = PrefixStore(disk / "prefixes", KEY, keep_free_bytes=0, progress=messages, clock=clock)
        match = again.find([1, 2])
        assert match is not None
        prefix = again.open(match.prefix)
        assert prefix is not None
        with prefix:
            assert prefix.path.read_bytes().startswith(STATE)
        assert not save(again, [2])
        assert again.statistics().failed == 1
        assert len(messages.texts) == 1
        assert "Read-only" in messages.texts[0]
