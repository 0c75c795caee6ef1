"""How busy a machine is now, from two looks at recorded counters."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgellm.devices.busy import busy_cores

TAIL = "cpu0 1 2 3 4 5 6 7 8 0 0\ncpu1 1 2 3 4 5 6 7 8 0 0\nintr 4973562 0\nctxt 6611395\n"
BEFORE = "cpu  941434 10 88997 153135 1934 0 855 530 0 0\n"


@pytest.fixture(autouse=True)
def load_average(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (7.5, 0.0, 0.0))


def busy(root: Path, first: str, then: str) -> float:
    """What is found when /proc/stat changes from ``first`` to ``then`` meanwhile."""
    stat = root / "proc" / "stat"
    stat.parent.mkdir(parents=True, exist_ok=True)
    stat.write_text(first)
    return busy_cores(lambda: stat.write_text(then), root)


@pytest.mark.parametrize(
    ("after", "cores"),
    [
        ("cpu  941434 10 88997 153225 1944 0 855 530 0 0\n", 0.0),  # a hundred ticks idle, ten of them for a disk
        ("cpu  941484 10 88997 153185 1934 0 855 530 0 0\n", 1.0),  # half of two cores
        ("cpu  941454 20 89017 153135 1934 20 875 540 0 0\n", 2.0),  # user, nice, system, interrupts, neighbours
        ("cpu  941459 10 88997 153210 1934 0 855 530 99 99\n", 0.5),  # guests are part of user
    ],
)
def test_the_share_of_time_that_was_not_idle(tmp_path: Path, after: str, cores: float) -> None:
    assert busy(tmp_path, BEFORE + TAIL, after + TAIL) == pytest.approx(cores)


@pytest.mark.parametrize(
    "after",
    [
        BEFORE + TAIL,  # no tick yet
        "cpu  1 1 1 1 1 1 1 1 0 0\n" + TAIL,  # counters that went back
        "cpu  -5 10 88997 153185 1934 0 855 530\n" + TAIL,
        "cpu  1 2 3 4\n" + TAIL,  # too few
        "cpu  941484 10 88997 153185 1934 0 855 530 0 0\n",  # without cores
        "\0\0",
        "",
    ],
)
def test_where_the_counters_do_not_tell_it_is_the_load_average(tmp_path: Path, after: str) -> None:
    assert busy(tmp_path, BEFORE + TAIL, after) == 7.5


def test_without_counters_it_is_the_load_average(tmp_path: Path) -> None:
    assert busy_cores(lambda: None, tmp_path) == 7.5


def test_idle_counters_may_go_back_a_little(tmp_path: Path) -> None:
    """iowait does: documentation of /proc in the kernel."""
    assert busy(tmp_path, BEFORE + TAIL, "cpu  941484 10 88997 153135 1930 0 855 530 0 0\n" + TAIL) == 2.0
