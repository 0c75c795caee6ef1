"""The number of threads follows what other programs leave of the processors."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from edgellm_runtimes.backend import BackendSettings
from edgellm_runtimes.thread_governor import ThreadGovernor

CORES = 4
STEP_S = 0.01


class Machine:
    """Processors that run our threads and ``others``: what all want beyond them, each goes without in equal parts.

    A step takes ``STEP_S`` of each thread. ``disk`` is the share of it that threads wait for a disk.
    """

    def __init__(self, *, threads: int = CORES, tells: bool = True, capable: bool = True) -> None:
        self.now = self.got = self.own = self.idled = 0.0
        self.others = 0.0
        self.disk = 0.0
        self.tells = tells
        self.calls: list[tuple[int, int]] = []
        self.backend: Any = SimpleNamespace(
            settings=BackendSettings(context=64, threads=threads, batch_threads=threads),
            capabilities={"threads"} if capable else set(),
            set_threads=lambda *numbers: self.calls.append(numbers),
        )
        self.governor = ThreadGovernor(
            self.backend,
            idle=lambda: self.idled if self.tells else None,
            wall=lambda: self.now,
            used=self.used,
            own=lambda: self.own,
        )

    @property
    def threads(self) -> int:
        return self.governor.threads[0]

    def used(self) -> float:
        """Of all threads."""
        return self.got

    def step(self) -> None:
        with self.governor.watch(1):
            share = min(1.0, CORES / (self.threads + self.others)) * (1 - self.disk)
            took = STEP_S / share
            self.now += took
            self.got += took * share * self.threads
            self.own += took * share
            self.idled += took * max(0.0, CORES - self.others - self.threads * (1 - self.disk))

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.step()


@pytest.mark.parametrize("tells", [True, False])
def test_a_machine_of_our_own_keeps_all_threads(tells: bool) -> None:
    machine = Machine(tells=tells)
    machine.run(60)
    assert machine.calls == []


class TickingMachine(Machine):
    """What threads other than the asking one use is booked when the clock ticks: always between two steps here."""

    def __init__(self, between_s: float) -> None:
        self.booked = 0.0
        super().__init__(tells=False)
        self.between_s = between_s

    def used(self) -> float:
        return self.booked + self.own

    def step(self) -> None:
        super().step()
        self.booked = self.got - self.own
        self.now += self.between_s
        self.own += self.between_s
        self.got += self.between_s * self.threads  # the others wait in a loop


@pytest.mark.parametrize("between_s", [0.0001, 0.0005, 0.001])
def test_ticks_that_fall_between_steps_take_no_thread_away(between_s: float) -> None:
    machine = TickingMachine(between_s)
    machine.run(20)
    assert machine.calls == []
    machine.others = 1
    machine.run(1)
    assert machine.threads == CORES - 1


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize(("others", "expected"), [(1, 3), (2, 2), (3, 1), (9, 1)])
def test_others_get_processors_of_their_own_soon(others: int, expected: int, tells: bool) -> None:
    machine = Machine(tells=tells)
    machine.run(0.2)
    machine.others = others
    machine.run(1.5)
    assert machine.threads == expected


@pytest.mark.parametrize("tells", [True, False])
def test_the_threads_come_back_when_the_others_have_gone(tells: bool) -> None:
    machine = Machine(tells=tells)
    machine.others = 3
    machine.run(5)
    assert machine.threads == 1
    machine.others = 0
    machine.run(40)
    assert machine.threads == CORES


@pytest.mark.parametrize("tells", [True, False])
def test_a_moment_of_another_program_takes_no_thread_away(tells: bool) -> None:
    machine = Machine(tells=tells)
    for _ in range(20):
        machine.run(0.5)
        machine.others = CORES
        machine.step()  # as long as a time slice or two
        machine.others = 0
    assert machine.calls == []


def test_trials_that_are_in_vain_become_rare() -> None:
    machine = Machine(tells=False)  # else it sees that nothing is free, and tries nothing
    machine.others = 1
    machine.run(300)
    assert 4 <= len(machine.calls) <= 2 * 20
    late = len(machine.calls)
    machine.run(120)
    assert len(machine.calls) - late <= 2 * 5
    machine.tells = True
    machine.run(1)
    late = len(machine.calls)
    machine.run(120)
    assert len(machine.calls) == late


def test_waiting_for_a_disk_takes_no_threads_away() -> None:
    machine = Machine()
    machine.disk = 0.6
    machine.run(10)
    assert machine.calls == []


def test_a_backend_whose_threads_are_dear_keeps_them() -> None:
    machine = Machine(capable=False)
    machine.others = 3
    machine.run(10)
    assert machine.calls == []


def test_one_thread_is_the_least() -> None:
    machine = Machine(threads=1)
    machine.others = 20
    machine.run(10)
    assert machine.calls == []
