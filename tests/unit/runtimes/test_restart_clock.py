"""When a worker that died may start again."""

from __future__ import annotations

from edgellm_runtimes.worker.restart import RestartClock, RestartPolicy


def test_a_first_start_waits_for_nothing() -> None:
    assert RestartClock(RestartPolicy()).wait_s(100.0) == 0


def test_each_death_doubles_the_time_between_starts_up_to_the_longest() -> None:
    clock, now, waits = RestartClock(RestartPolicy()), 100.0, []
    for _ in range(9):
        clock.started(now)
        clock.died(now + 0.25)
        waits.append(clock.wait_s(now + 0.25))
        now += 0.25 + waits[-1]
    assert waits == [0.75, 1.75, 3.75, 7.75, 15.75, 31.75, 59.75, 59.75, 59.75]
    assert clock.starts == 9


def test_a_worker_that_lived_longer_than_the_pause_may_start_at_once() -> None:
    clock = RestartClock(RestartPolicy())
    clock.started(100.0)
    clock.died(110.0)
    assert clock.wait_s(110.0) == 0


def test_stable_minutes_are_a_new_beginning() -> None:
    clock = RestartClock(RestartPolicy())
    for start in (100.0, 200.0, 300.0):
        clock.started(start)
        clock.died(start + 1)
    assert clock.wait_s(301.0) == 3.0
    clock.started(400.0)
    clock.died(400.0 + 300.0)
    clock.started(701.0)
    clock.died(701.0)
    assert clock.wait_s(701.0) == 2.0


def test_a_death_counts_once() -> None:
    clock = RestartClock(RestartPolicy())
    clock.started(100.0)
    clock.died(100.0)
    clock.died(100.0)
    assert clock.wait_s(100.0) == 1.0


def test_a_thousand_deaths_are_no_overflow() -> None:
    clock = RestartClock(RestartPolicy())
    for number in range(2000):
        clock.started(float(number))
        clock.died(float(number))
    assert clock.wait_s(1999.0) == 60.0
