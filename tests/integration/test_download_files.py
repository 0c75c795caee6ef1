"""Downloads from a hub on loopback that fails in every way a network can."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgellm.errors import (
    AccessError,
    IntegrityError,
    Interrupted,
    NetworkError,
    NoSpaceError,
    NotFoundError,
    UsageError,
)
from edgellm.progress import CancelToken, Progress, SilentProgress
from edgellm.sources.download import download_files, exclusive, held, list_downloads, missing_bytes, remove_downloads
from edgellm.sources.download.locks import locked_file
from edgellm.sources.download.part_file import journal_path, part_path
from edgellm.sources.hub import HubClient, HubFile, HubSettings, Patience, parse_hub_reference
from hub_server import HubServer
from tmpfs import fill, tmpfs

FAST = Patience(first_wait_s=0.001, longest_wait_s=0.002, read_timeout_s=10.0)
SIZE = 20 << 20
MODEL = parse_hub_reference("own/model")


class Watcher(SilentProgress):
    """Progress that keeps messages and calls ``act`` with the bytes so far."""

    def __init__(self, act: Callable[[int], None] | None = None) -> None:
        self.messages: list[str] = []
        self.phases: list[tuple[str, int | None]] = []
        self.done = 0
        self._act = act

    def phase(self, name: str, total_bytes: int | None = None) -> None:
        """Keep it."""
        self.phases.append((name, total_bytes))

    def advance(self, size_bytes: int) -> None:
        """Count, and act."""
        self.done += size_bytes
        if self._act:
            self._act(self.done)

    def message(self, text: str) -> None:
        """Keep it."""
        self.messages.append(text)
        if self._act:
            self._act(self.done)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub") / "own" / "model"
    folder.mkdir(parents=True)
    (folder / "model.gguf").write_bytes(random.Random(5).randbytes(SIZE))
    (folder / "config.json").write_text('{"a": 1}')
    (folder / "empty.txt").write_bytes(b"")
    return folder.parent.parent


@pytest.fixture
def hub(root: Path) -> Iterator[HubServer]:
    with HubServer(root) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "downloads"


def fetch(
    hub: HubServer,
    folder: Path,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
    *,
    only: str = "",
    connections: int = 4,
    patience: Patience = FAST,
) -> list[Path]:
    with HubClient(HubSettings(hub.url), patience=patience) as client:
        files = [file for file in client.repository(MODEL).files if only in file.path]
        return download_files(client, files, folder, connections=connections, progress=progress, cancel=cancel)


def described(hub: HubServer, path: str = "model.gguf") -> HubFile:
    with HubClient(HubSettings(hub.url)) as client:
        file = client.repository(MODEL).file(path)
    assert file is not None
    return file


def content(root: Path, name: str = "model.gguf") -> bytes:
    return (root / "own" / "model" / name).read_bytes()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_files_end_under_their_hashes_and_are_not_fetched_twice(hub: HubServer, folder: Path, root: Path) -> None:
    progress = Watcher()
    paths = fetch(hub, folder, progress)
    assert [path.read_bytes() for path in paths] == [
        content(root, name) for name in ("config.json", "empty.txt", "model.gguf")
    ]
    assert names(folder) == sorted(path.name for path in paths)
    assert progress.phases == [("downloading 2 small files", 8), ("downloading model.gguf", SIZE)]
    assert progress.done == SIZE + 8
    asked = len(hub.asked("cdn")) + len(hub.asked("resolve"))
    assert fetch(hub, folder) == paths
    assert len(hub.asked("cdn")) + len(hub.asked("resolve")) == asked
    assert [(row.state, row.held) for row in list_downloads(folder)] == [("finished", False)] * 3


@pytest.mark.parametrize(
    "fault",
    [
        {"cut_after": 3_000_000, "times": 6},
        {"cut_after": 0, "times": 5},
        {"length_delta": -5, "times": 3},
        {"length_delta": 5, "times": 3},
        {"content_range": "bytes 1-2/3", "times": 3},
        {"ignore_range": True},
        {"ignore_range": True, "times": None},
        {"status": 403, "times": 3},
        {"status": 429, "times": 3},
        {"status": 503, "times": 4},
        {"skip": 1, "corrupt_at": SIZE - 1, "times": 2},
    ],
)
@pytest.mark.parametrize("connections", [1, 4])
def test_faults_that_pass_end_in_the_whole_file(
    hub: HubServer, folder: Path, root: Path, fault: dict[str, object], connections: int
) -> None:
    hub.fault("cdn", **fault)
    (path,) = fetch(hub, folder, only=".gguf", connections=connections)
    assert path.read_bytes() == content(root)
    assert names(folder) == [path.name]


def test_a_server_without_ranges_that_cuts_is_read_again_from_the_beginning(
    hub: HubServer, folder: Path, root: Path
) -> None:
    hub.fault("cdn", ignore_range=True, times=1)
    hub.fault("cdn", ignore_range=True, cut_after=9_000_000, times=6)
    hub.fault("cdn", ignore_range=True, times=None)
    progress = Watcher()
    (path,) = fetch(hub, folder, progress, only=".gguf")
    assert path.read_bytes() == content(root)
    assert any("cannot send parts" in line for line in progress.messages)


def test_links_that_expire_are_asked_for_again(root: Path, folder: Path) -> None:
    with HubServer(root, link_uses=1) as hub:
        (path,) = fetch(hub, folder, only=".gguf")
        assert path.read_bytes() == content(root)
        assert len(hub.asked("resolve", ".gguf")) > 1


def test_wrong_bytes_are_fetched_once_more(hub: HubServer, folder: Path, root: Path) -> None:
    progress = Watcher()
    hub.fault("cdn", corrupt_at=0, times=1)
    (path,) = fetch(hub, folder, progress, only=".gguf", connections=1)
    assert path.read_bytes() == content(root)
    assert [line for line in progress.messages if path.name in line and "fetching it again" in line]


@pytest.mark.parametrize(("name", "where"), [("model.gguf", "cdn"), ("config.json", "resolve")])
def test_bytes_that_stay_wrong_are_refused_and_nothing_is_kept(
    hub: HubServer, folder: Path, name: str, where: str
) -> None:
    hub.fault(where, name, corrupt_at=0, times=None)
    with pytest.raises(IntegrityError, match=rf"{name} arrived with .*[0-9a-f]{{40}}") as caught:
        fetch(hub, folder, only=name)
    assert described(hub, name).key in str(caught.value)
    assert names(folder) == []


def test_a_hub_that_keeps_failing_is_given_up_and_gone_on_with_later(hub: HubServer, folder: Path, root: Path) -> None:
    hub.fault("cdn", status=503, times=None, skip=2)
    with pytest.raises(NetworkError, match="503") as caught:
        fetch(hub, folder, only=".gguf", connections=1)
    assert "kept" in (caught.value.hint or "")
    assert list_downloads(folder)[0].size_bytes >= 16 << 20
    assert missing_bytes([described(hub)], folder) <= SIZE - (16 << 20)
    hub.clear_faults()
    asked = len(hub.asked("cdn"))
    progress = Watcher()
    (path,) = fetch(hub, folder, progress, only=".gguf", connections=1)
    assert path.read_bytes() == content(root)
    assert [request.range for request in hub.asked("cdn")[asked:]] == [(16 << 20, SIZE)]
    assert progress.phases[0] == ("downloading model.gguf, going on at 16.0 MiB", 4 << 20)


def test_a_gated_file_is_no_reason_to_wait(root: Path, folder: Path) -> None:
    with HubServer(root, gated=("own/model",)) as hub, pytest.raises(AccessError, match="gated") as caught:
        fetch(hub, folder)
    assert "HF_TOKEN" in (caught.value.hint or "")


@pytest.mark.parametrize("fault", [{}, {"stall_after": 5_000_000, "times": None}])
def test_a_stop_keeps_what_arrived(hub: HubServer, folder: Path, root: Path, fault: dict[str, object]) -> None:
    hub.fault("cdn", **fault)
    cancel = CancelToken()
    with pytest.raises(Interrupted) as caught:
        fetch(hub, folder, Watcher(lambda done: cancel.cancel() if done > 4_000_000 else None), cancel, only=".gguf")
    assert "kept" in (caught.value.hint or "")
    hub.clear_faults()
    progress = Watcher()
    (path,) = fetch(hub, folder, progress, only=".gguf")
    assert path.read_bytes() == content(root)
    assert progress.done <= SIZE - 4_000_000
    assert names(folder) == [path.name]


def test_a_stop_while_the_hub_is_silent_does_not_wait_for_it(hub: HubServer, folder: Path) -> None:
    hub.fault("cdn", stall_after=1, stall_s=3600, times=None)
    cancel = CancelToken()
    stopper = threading.Timer(0.3, cancel.cancel)
    stopper.start()
    with pytest.raises(Interrupted):
        fetch(hub, folder, cancel=cancel, only=".gguf", patience=Patience(read_timeout_s=3600))
    stopper.join()


def stopped_half(hub: HubServer, folder: Path) -> HubFile:
    """A download that was stopped on its way."""
    cancel = CancelToken()
    with pytest.raises(Interrupted):
        fetch(hub, folder, Watcher(lambda done: cancel.cancel() if done > 4_000_000 else None), cancel, only=".gguf")
    return described(hub)


@pytest.mark.parametrize("damage", ["journal", "no journal", "short", "long", "wrong bytes"])
def test_what_an_earlier_run_left_is_not_believed_blindly(
    hub: HubServer, folder: Path, root: Path, damage: str
) -> None:
    key = stopped_half(hub, folder).key
    part, journal = part_path(folder, key), journal_path(folder, key)
    if damage == "journal":
        journal.write_bytes(journal.read_bytes()[:60] + b"?" + journal.read_bytes()[61:])
    elif damage == "no journal":
        journal.unlink()
    elif damage == "short":
        os.truncate(part, 1_000_000)
    elif damage == "long":
        os.truncate(part, SIZE + 1)
    else:
        with part.open("r+b") as file:
            file.write(bytes(100_000))
            file.seek(8 << 20)
            file.write(bytes(100_000))
    (path,) = fetch(hub, folder, only=".gguf")
    assert path.read_bytes() == content(root)
    assert names(folder) == [key]


def test_a_file_that_changed_on_the_hub_does_not_mix_with_the_old_one(tmp_path: Path, folder: Path) -> None:
    source = tmp_path / "root" / "own" / "model" / "model.gguf"
    source.parent.mkdir(parents=True)
    source.write_bytes(random.Random(1).randbytes(SIZE))
    with HubServer(tmp_path / "root") as hub:
        old = stopped_half(hub, folder)
        source.write_bytes(random.Random(2).randbytes(SIZE))
        (path,) = fetch(hub, folder, only=".gguf")
        assert path.read_bytes() == source.read_bytes()
        assert [(row.key, row.state) for row in list_downloads(folder) if row.key != path.name] == [
            (old.key, "partial")
        ]


def test_downloads_are_listed_and_removed_but_not_under_a_running_one(hub: HubServer, folder: Path) -> None:
    assert list_downloads(folder) == []
    fetch(hub, folder, only="config.json")
    key = stopped_half(hub, folder).key
    with locked_file(part_path(folder, key), "testing", SilentProgress(), None):
        assert {(row.state, row.held) for row in list_downloads(folder)} == {("finished", False), ("partial", True)}
        assert [row.state for row in remove_downloads(folder, dry_run=True)] == ["finished"]
        assert [row.state for row in remove_downloads(folder)] == ["finished"]
    (row,) = list_downloads(folder)
    assert (row.key, row.state, row.held) == (key, "partial", False)
    assert 4_000_000 < row.size_bytes <= SIZE
    remove_downloads(folder)
    assert names(folder) == []


def test_a_second_process_waits_and_may_be_stopped(hub: HubServer, folder: Path) -> None:
    folder.mkdir()
    cancel = CancelToken()
    progress = Watcher(lambda _: cancel.cancel())
    held = locked_file(part_path(folder, described(hub).key), "testing", SilentProgress(), None)
    with held, pytest.raises(Interrupted):
        fetch(hub, folder, progress, cancel, only=".gguf")
    assert progress.messages == ["another process is downloading model.gguf; waiting"]


def test_only_one_is_inside_an_exclusive_block_and_no_file_stays(folder: Path) -> None:
    inside: list[str] = []
    first_is_in, release = threading.Event(), threading.Event()

    def first() -> None:
        with exclusive(folder, "job", "working", SilentProgress()):
            inside.append("first")
            first_is_in.set()
            release.wait()
            inside.append("first out")

    thread = threading.Thread(target=first)
    thread.start()
    first_is_in.wait()
    progress = Watcher(lambda _: release.set())
    with exclusive(folder, "job", "working", progress):
        inside.append("second")
    thread.join()
    assert inside == ["first", "first out", "second"]
    assert progress.messages == ["another process is working; waiting"]
    assert names(folder) == []


def test_unusual_arguments_are_refused(hub: HubServer, folder: Path) -> None:
    with pytest.raises(UsageError, match="0 connections"):
        fetch(hub, folder, connections=0)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs that holds the file and little more."""
    with tmpfs(tmp_path / "disk", "size=24m") as disk:
        yield disk


def test_a_disk_that_is_too_small_is_told_before_the_first_byte(hub: HubServer, small_disk: Path) -> None:
    (small_disk / "filler").write_bytes(bytes(8 << 20))
    with pytest.raises(NoSpaceError, match=r"needs 20\.0 MiB"):
        fetch(hub, small_disk / "downloads")
    assert hub.asked("resolve") == []


def test_a_disk_that_fills_up_on_the_way_is_told_and_the_download_goes_on_later(
    hub: HubServer, small_disk: Path, root: Path
) -> None:
    filler, folder = small_disk / "filler", small_disk / "downloads"

    def fill_once(done: int) -> None:
        if done > 8 << 20 and not filler.exists():
            fill(small_disk, 1 << 20)

    with pytest.raises(NoSpaceError) as caught:
        fetch(hub, folder, Watcher(fill_once), only=".gguf")
    assert caught.value.hint
    filler.unlink()
    progress = Watcher()
    (path,) = fetch(hub, folder, progress, only=".gguf")
    assert path.read_bytes() == content(root)
    assert progress.done < SIZE - (4 << 20)
    assert names(folder) == [path.name]


def test_finished_files_that_are_held_stay(hub: HubServer, folder: Path) -> None:
    (path,) = fetch(hub, folder, only=".gguf")
    with held([path]):
        assert [(download.state, download.held) for download in list_downloads(folder)] == [("finished", True)]
        assert remove_downloads(folder) == []
    assert [download.path for download in remove_downloads(folder)] == [path]
    with pytest.raises(NotFoundError), held([path]):
        pass
