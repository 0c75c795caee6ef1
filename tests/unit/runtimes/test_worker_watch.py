"""When a worker counts as hung: never for being slow, in the end for doing nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from edgellm_runtimes.pulse import Pulse, PulseReading
from edgellm_runtimes.watch_policy import WatchPolicy
from edgellm_runtimes.worker.vital_signs import VitalSigns, read_signs
from edgellm_runtimes.worker.watch import Watch
from worker_rig import wait_until

POLICY = WatchPolicy(interval_s=1.0, still_s=30.0, least_s=100.0, factor=10.0, most_s=1000.0)


def reading(beats: int, *, is_idle: bool = False, expected_s: float | None = 1.0) -> PulseReading:
    return PulseReading(beats, is_idle, 0.0, expected_s, None)


def signs(ticks: float = 0.0, *, at_work: bool = False, stopped: bool = False, traced: bool = False) -> VitalSigns:
    return VitalSigns(ticks, at_work, stopped, traced)


def looks_until_given_up(watch: Watch, seen: Iterator[tuple[bool, PulseReading | None, VitalSigns]]) -> tuple[int, str]:
    for number, (answered, said, found) in enumerate(seen, 1):
        reason = watch.look(1.0, answered=answered, reading=said, signs=found)
        if reason is not None:
            return number, reason
    raise AssertionError("it was never given up")


@pytest.mark.parametrize(
    ("answered", "said", "found"),
    [
        pytest.param(False, reading(5), signs(stopped=True), id="a process that was stopped"),
        pytest.param(False, reading(5, is_idle=True), signs(stopped=True), id="stopped without work, then asked"),
        pytest.param(False, None, signs(), id="a loading process that does nothing"),
        pytest.param(True, reading(5), signs(), id="a decode thread that waits for a lock"),
    ],
)
def test_doing_nothing_is_given_up_after_the_still_time(
    answered: bool, said: PulseReading | None, found: VitalSigns
) -> None:
    watch = Watch(POLICY)
    assert watch.look(1.0, answered=True, reading=said, signs=signs()) is None
    number, reason = looks_until_given_up(watch, iter([(answered, said, found)] * 100))
    assert 30 <= number <= 32  # what a first look sees has nothing to be compared with
    assert ("stopped by a signal" in reason) == found.is_stopped


@pytest.mark.parametrize(
    "found", [lambda look: signs(ticks=look), lambda _look: signs(at_work=True)], ids=["computes", "waits for a disk"]
)
def test_a_slow_step_is_let_go_on_for_many_times_what_steps_take(found: object) -> None:
    assert callable(found)
    seen = ((True, reading(5, expected_s=30.0), found(look)) for look in range(2000))
    number, reason = looks_until_given_up(Watch(POLICY), seen)
    assert 300 <= number <= 302
    assert "one step" in reason


@pytest.mark.parametrize(("expected_s", "limit_s"), [(None, 1000.0), (0.001, 100.0), (30.0, 300.0), (9999.0, 1000.0)])
def test_the_limit_of_a_step_is_learnt_within_bounds(expected_s: float | None, limit_s: float) -> None:
    assert POLICY.limit_s(expected_s) == limit_s


def test_what_comes_on_is_never_given_up() -> None:
    watch = Watch(POLICY)
    for look in range(5000):
        said = reading(look // 20)  # a step of 20 s without any sign of life
        assert watch.look(1.0, answered=look % 3 > 0, reading=said, signs=signs()) is None
    for _ in range(5000):  # grammars are compiled elsewhere
        assert watch.look(1.0, answered=True, reading=reading(5, is_idle=True), signs=signs()) is None
    for _ in range(5000):
        assert watch.look(1.0, answered=True, reading=None, signs=signs()) is None
    assert (watch.silent_s, watch.is_stuck) == (0.0, False)


def test_a_debugger_and_a_break_of_this_process_do_not_count() -> None:
    watch = Watch(POLICY)
    watch.look(1.0, answered=True, reading=reading(5), signs=signs())
    for _ in range(1000):
        assert watch.look(1.0, answered=False, reading=reading(5), signs=signs(traced=True)) is None
    for _ in range(10):
        assert watch.look(3600.0, answered=False, reading=reading(5), signs=signs()) is None  # Ctrl-Z, and fg


def test_a_stuck_one_is_told_of_before_it_is_given_up() -> None:
    watch = Watch(POLICY)
    told = []
    for look in range(200):
        if watch.look(1.0, answered=True, reading=reading(5), signs=signs(ticks=look)) is not None:
            break
        told.append(watch.is_stuck)
    assert True in told[:25]
    assert not any(told[:15])
    watch.look(1.0, answered=True, reading=reading(6), signs=signs())
    assert not watch.is_stuck


def test_a_pulse_learns_what_steps_take() -> None:
    pulse = Pulse()
    assert (pulse.read().is_idle, pulse.read().expected_s) == (True, None)
    pulse.begin(1)
    assert not pulse.read().is_idle
    pulse.end(0.5)
    pulse.begin(4)
    assert pulse.read().expected_s == 0.5  # the weights are read once
    pulse.end(0.1)
    pulse.begin(100)
    assert 0.4 < (pulse.read().expected_s or 0) / 100 <= 0.5  # at most so much
    pulse.end(10.0)
    pulse.begin(200)
    assert pulse.read().expected_s == pytest.approx(20.0)
    beats = pulse.read().beats
    pulse.end(5.0)
    pulse.rest()
    assert pulse.read().beats > beats
    assert pulse.read().busy_s == 0.0


@pytest.fixture
def child() -> Iterator[subprocess.Popen[str]]:
    program = "import sys\nprint(flush=True)\nsys.stdin.readline()\nwhile True: pass"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_signs_tell_a_process_that_waits_from_one_that_computes_and_one_that_was_stopped(
    child: subprocess.Popen[str],
) -> None:
    def found() -> VitalSigns:
        signs = read_signs(child.pid)
        assert signs is not None
        return signs

    wait_until(lambda: not found().is_at_work)
    waiting = found()
    assert not found().has_computed(waiting)
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()
    wait_until(lambda: found().is_at_work and found().has_computed(waiting))
    psutil.Process(child.pid).suspend()
    wait_until(lambda: found().is_stopped)
    assert not found().is_at_work
    child.kill()
    child.wait()
    assert read_signs(child.pid) is None


def test_signs_of_one_thread_are_its_own() -> None:
    mine = read_signs(os.getpid(), threading.get_native_id())
    assert mine is not None
    assert mine.is_at_work


def test_signs_are_read_whatever_a_process_is_called(tmp_path: Path) -> None:
    folder = tmp_path / "7" / "task" / "9"
    folder.mkdir(parents=True)
    rest = " ".join(str(number) for number in range(1, 40))
    (folder / "stat").write_bytes(b"9 (R) T (\xff x) D " + rest.encode())
    assert read_signs(7, proc=tmp_path) == VitalSigns(11 + 12, True, False, False)
