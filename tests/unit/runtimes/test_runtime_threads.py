"""The number of threads follows the control group's quota."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgellm_runtimes.threads import usable_threads

CPUS = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(("text", "expected"), [("max 100000", CPUS), ("100000 100000", 1), ("50000 100000", 1)])
def test_a_quota_cuts_the_count(tmp_path: Path, text: str, expected: int) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert usable_threads(tmp_path) == expected


def test_the_older_form_of_control_groups_is_read(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("100000")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert usable_threads(tmp_path) == 1


def test_without_control_groups_the_affinity_counts(tmp_path: Path) -> None:
    assert usable_threads(tmp_path) == CPUS
