"""Downloads that are killed at random moments go on from what was flushed, and two processes fetch a file once."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from download_child import Nursery
from edgellm.sources.download.journal import Journal
from edgellm.sources.download.part_file import FLUSH_BYTES, journal_path, part_path
from edgellm.sources.download.ranges import Ranges
from hub_repositories import Entry
from hub_server import HubServer

KILLS = 50
WEIGHTS_BYTES = 48 << 20
BLOCK = 4096
BYTES_PER_S = 120 << 20


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root" / "own" / "model"
    folder.mkdir(parents=True)
    (folder / "model.gguf").write_bytes(random.Random(3).randbytes(WEIGHTS_BYTES))
    (folder / "config.json").write_text("{}")
    return tmp_path / "root"


def weights_entry(hub: HubServer) -> Entry:
    commit = hub.repositories.commit("own/model", "main")
    entry = commit.entry("model.gguf") if commit else None
    assert entry is not None
    return entry


def flushed_ranges(folder: Path, entry: Entry, scratch: Path) -> Ranges:
    """What the journal vouches for, read from a copy."""
    path = journal_path(folder, entry.sha256)
    if not path.exists():
        return Ranges()
    scratch.write_bytes(path.read_bytes())
    journal = Journal(scratch, entry.sha256, entry.size_bytes)
    ranges = journal.open()
    journal.close()
    return ranges


def right_bytes(folder: Path, entry: Entry, source: bytes, ranges: list[tuple[int, int]]) -> int:
    """How many bytes of ``ranges`` the part file holds as they should be, in whole blocks."""
    path = part_path(folder, entry.sha256)
    data = memoryview(path.read_bytes() if path.exists() else b"")
    count = 0
    for start, stop in ranges:
        if data[start:stop] == source[start:stop]:
            count += stop - start
            continue
        for at in range(start, stop, BLOCK):
            last = min(at + BLOCK, stop)
            count += last - at if data[at:last] == source[at:last] else 0
    return count


def check_after_kill(folder: Path, entry: Entry, source: bytes, scratch: Path) -> Ranges:
    """What is vouched for is right, and no more than the flush interval arrived in vain."""
    flushed = flushed_ranges(folder, entry, scratch)
    assert right_bytes(folder, entry, source, list(flushed)) == flushed.size_bytes
    in_vain = right_bytes(folder, entry, source, flushed.missing(0, entry.size_bytes))
    assert in_vain <= FLUSH_BYTES
    return flushed


def test_a_download_killed_fifty_times_ends_in_whole_files_and_no_leftovers(root: Path, tmp_path: Path) -> None:
    folder, scratch = tmp_path / "downloads", tmp_path / "journal"
    source = (root / "own" / "model" / "model.gguf").read_bytes()
    chance = random.Random(11)
    kills = finished = resumed = 0
    with HubServer(root, bytes_per_s=BYTES_PER_S) as hub, Nursery(hub.url, "own/model", folder) as nursery:
        entry = weights_entry(hub)
        flushed = Ranges()
        while kills < KILLS:
            asked = len(hub.requests)
            sent = hub.sent_bytes("model.gguf")
            process_id = nursery.start()
            enough, deadline = sent + chance.uniform(0, 0.6) * WEIGHTS_BYTES, time.monotonic() + 60
            while len(hub.requests) == asked or (  # by what was sent, so that a slow machine sees the same moments
                hub.sent_bytes("model.gguf") < enough and not (folder / entry.sha256).exists()
            ):
                assert time.monotonic() < deadline, "the download stands still"
                time.sleep(0.001)
            os.kill(process_id, signal.SIGKILL)
            killed = nursery.wait(process_id) == -signal.SIGKILL
            for request in hub.requests[asked:]:
                if request.where == "cdn" and request.range:
                    assert flushed.missing(*request.range) == [request.range]  # nothing flushed is asked for again
                    resumed += bool(flushed.size_bytes)
            if (folder / entry.sha256).exists():
                assert (folder / entry.sha256).read_bytes() == source
                finished += 1
                (folder / entry.sha256).unlink()
                flushed = Ranges()
            else:
                flushed = check_after_kill(folder, entry, source, scratch)
            kills += killed
        assert resumed, "no download went on after a kill"
        assert nursery.wait(nursery.start()) == 0
    config = (root / "own" / "model" / "config.json").read_bytes()
    assert {path.read_bytes() for path in folder.iterdir()} == {source, config}
    assert len(list(folder.iterdir())) == 2


def test_two_processes_fetch_a_file_once(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "downloads"
    with HubServer(root, bytes_per_s=BYTES_PER_S) as hub, Nursery(hub.url, "own/model", folder) as nursery:
        first, second = nursery.start(), nursery.start()
        assert (nursery.wait(first), nursery.wait(second)) == (0, 0)
        fetched = Ranges()
        for request in hub.asked("cdn"):
            assert request.range
            assert fetched.missing(*request.range) == [request.range]
            fetched.add(*request.range)
        assert list(fetched) == [(0, WEIGHTS_BYTES)]
        assert hub.sent_bytes("model.gguf") == WEIGHTS_BYTES
        assert len([request for request in hub.asked("resolve", "config.json") if request.status == 206]) == 1
    assert len(list(folder.iterdir())) == 2
