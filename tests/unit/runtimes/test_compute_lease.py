"""Turns at computing: one at a time, in the order of asking, across processes and their deaths."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgellm.errors import AccessError
from edgellm_runtimes.compute_lease import ComputeLease, lease_path

CHILD = Path(__file__).resolve().parents[2] / "lease_child.py"
FIRST_TICKET = 16
PATIENCE_S = 60.0
A_WHILE_S = 0.2  # in which nothing may happen


class Peer:
    """A process that takes turns on command."""

    def __init__(self, path: Path, patience_s: float = PATIENCE_S) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(CHILD), str(path), str(patience_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        self.expect("ready")

    def say(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n".encode())

    def expect(self, word: str) -> None:
        assert self.process.stdout is not None
        assert self.answers(PATIENCE_S), f"no {word!r}"
        assert self.process.stdout.readline() == f"{word}\n".encode()

    def answers(self, timeout_s: float) -> bool:
        return bool(select.select([self.process.stdout], [], [], timeout_s)[0])

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "compute.lock"


@contextlib.contextmanager
def peers(path: Path, count: int, patience_s: float = PATIENCE_S) -> Iterator[list[Peer]]:
    started: list[Peer] = []
    try:
        for _ in range(count):
            started.append(Peer(path, patience_s))
        yield started
    finally:
        for peer in started:
            peer.end()


def queue_length(path: Path) -> int:
    """Tickets that are held, as the kernel lists them: those who wait, and who has waited for the turn it holds."""
    inode = f":{path.stat().st_ino}"
    rows = [line.split() for line in Path("/proc/locks").read_text(encoding="ascii").splitlines()]
    return sum(row[-3].endswith(inode) and int(row[-2]) >= FIRST_TICKET for row in rows if row[1] != "->")


def wait_for_queue(path: Path, length: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while queue_length(path) != length:
        assert time.monotonic() < deadline, f"{queue_length(path)} tickets, not {length}"
        time.sleep(0.001)


def test_two_processes_that_always_want_the_turn_alternate(path: Path) -> None:
    with peers(path, 2) as (holder, waiter):
        holder.say("take")
        holder.expect("took")
        waiter.say("take")
        wait_for_queue(path, 1)
        for _ in range(30):
            holder.say("again")  # asks again at once, and must wait all the same
            holder.expect("ended")
            waiter.expect("took")
            wait_for_queue(path, 2)
            assert not holder.answers(0)
            holder, waiter = waiter, holder


def test_nobody_waits_for_more_than_one_turn_of_each_other(path: Path) -> None:
    with peers(path, 4) as everybody:
        for place, peer in enumerate(everybody):
            peer.say("take")
            if place:
                wait_for_queue(path, place)
            else:
                peer.expect("took")
        order = list(everybody)
        for _ in range(3 * len(order)):
            first, second, *others = order
            first.say("again")
            first.expect("ended")
            second.expect("took")
            wait_for_queue(path, len(order))
            assert not any(peer.answers(0) for peer in (first, *others))
            order = [second, *others, first]


def test_a_process_killed_in_its_turn_gives_it_back(path: Path) -> None:
    with peers(path, 2) as (holder, waiter):
        holder.say("take")
        holder.expect("took")
        waiter.say("take")
        wait_for_queue(path, 1)
        assert not waiter.answers(A_WHILE_S)
        holder.process.kill()
        waiter.expect("took")


def test_a_process_killed_in_the_queue_lets_the_next_up_but_not_into_the_turn(path: Path) -> None:
    with peers(path, 3) as (holder, dying, waiter):
        holder.say("take")
        holder.expect("took")
        dying.say("take")
        wait_for_queue(path, 1)
        waiter.say("take")
        wait_for_queue(path, 2)
        dying.process.kill()
        dying.process.wait()
        assert not waiter.answers(A_WHILE_S)
        holder.say("end")
        holder.expect("ended")
        waiter.expect("took")


def test_nobody_waits_for_ever_behind_a_process_that_was_suspended_in_its_turn(path: Path) -> None:
    with peers(path, 2, patience_s=A_WHILE_S) as (suspended, waiter):
        suspended.say("take")
        suspended.expect("took")
        os.kill(suspended.process.pid, signal.SIGSTOP)
        waiter.say("take")
        waiter.expect("lost patience")
        started = time.monotonic()
        for _ in range(20):  # the patience is not asked for again at every step
            waiter.say("again")
            waiter.expect("ended")
            waiter.expect("lost patience")
        assert time.monotonic() - started < 20 * A_WHILE_S
        os.kill(suspended.process.pid, signal.SIGCONT)
        suspended.say("end")
        suspended.expect("ended")
        waiter.say("again")
        waiter.expect("ended")
        waiter.expect("took")


def test_a_ring_that_never_comes_is_not_waited_for(path: Path) -> None:
    lease, other = ComputeLease(path), ComputeLease(path)
    taken = threading.Event()

    def wait_for_turn() -> None:
        with other.turn():
            taken.set()

    thread = threading.Thread(target=wait_for_turn)
    with lease.turn():
        thread.start()
        wait_for_queue(path, 1)
        lease._bells.ring = lambda _number: None  # type: ignore[method-assign]
    assert taken.wait(PATIENCE_S)
    thread.join()
    lease.close()
    other.close()


def test_after_a_queue_the_one_that_is_left_needs_no_ticket(path: Path) -> None:
    with peers(path, 2) as (first, second):
        for peer in (first, second):
            peer.say("take")
        done = select.select([first.process.stdout, second.process.stdout], [], [], PATIENCE_S)[0]
        holder, waiter = (first, second) if first.process.stdout in done else (second, first)
        holder.expect("took")
        wait_for_queue(path, 1)
        holder.say("end")
        holder.expect("ended")
        waiter.expect("took")
        for word in ("ended", "took"):
            if word == "ended":
                waiter.say("again")
            waiter.expect(word)
        assert queue_length(path) == 0


def test_threads_of_one_process_take_turns_too(path: Path) -> None:
    inside = 0
    overlaps: list[int] = []

    def work() -> None:
        nonlocal inside
        lease = ComputeLease(path)
        for _ in range(200):
            with lease.turn():
                inside += 1
                overlaps.append(inside)
                time.sleep(0)
                inside -= 1
        lease.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert overlaps == [1] * 800


def test_a_turn_ends_with_an_error_in_it(path: Path) -> None:
    lease, other = ComputeLease(path), ComputeLease(path)
    with pytest.raises(ZeroDivisionError), lease.turn():
        _ = 1 // 0
    with other.turn():
        pass
    lease.close()
    other.close()


def test_a_torn_counter_does_no_harm(path: Path) -> None:
    path.write_bytes(b"\xff\xff\xff")
    with peers(path, 2) as (holder, waiter):
        holder.say("take")
        holder.expect("took")
        waiter.say("take")
        wait_for_queue(path, 1)
        holder.say("end")
        waiter.expect("took")


def test_models_on_other_processors_are_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    names = []
    for processors in (range(8), {0, 1}, {2, 3}, {1, 0}):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _process, found=frozenset(processors): found)
        names.append(lease_path().name)
    assert names == ["compute.lock", "compute-3.lock", "compute-c.lock", "compute-3.lock"]


def test_the_lock_file_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(os, "cpu_count", lambda: len(os.sched_getaffinity(0)))
    lease = ComputeLease()
    assert lease.path == tmp_path / "edgellm" / "compute.lock"
    assert lease.path.stat().st_mode & 0o777 == 0o600
    assert lease.path.parent.stat().st_mode & 0o777 == 0o700
    lease.close()
    lease.close()


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "edgellm").mkdir()
    (tmp_path / "edgellm").chmod(0o777)
    with pytest.raises(AccessError, match="others may write"):
        lease_path()


def test_a_link_in_the_place_of_the_lock_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "compute.lock").symlink_to(tmp_path / "precious")
    with pytest.raises(AccessError, match=r"compute\.lock"):
        ComputeLease(tmp_path / "compute.lock")


def descriptors() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


def test_a_closed_lease_leaves_no_descriptor(path: Path) -> None:
    before = descriptors()
    for _ in range(20):
        lease = ComputeLease(path)
        with lease.turn():
            pass
        lease.close()
    assert descriptors() == before
