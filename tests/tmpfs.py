"""A small or read-only disk of its own for a test."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

PAGE_BYTES = 4096


@contextlib.contextmanager
def tmpfs(folder: Path, options: str) -> Iterator[Path]:
    """A tmpfs mounted on ``folder`` with ``options`` ("size=4m", "ro"); skips the test where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def make_read_only(folder: Path) -> None:
    """From now on nothing below the mounted ``folder`` can be written."""
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)


def fill(disk: Path, leave_bytes: int) -> Path:
    """Take all space of ``disk`` but ``leave_bytes``; returns the file that does."""
    filler = disk / "filler"
    status = os.statvfs(disk)
    filler.write_bytes(bytes(max(0, status.f_bavail * status.f_frsize - leave_bytes)))
    return filler


def fill_rest(disk: Path) -> None:
    """Take what is left of ``disk``, to the last byte."""
    with (disk / "rest").open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(PAGE_BYTES)):
            pass
