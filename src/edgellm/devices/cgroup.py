"""Limits that a container or a systemd unit sets: CPU quota and memory, cgroup v2 and v1."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

__all__ = ["cpu_quota", "memory_headroom_bytes", "memory_limit_bytes", "read_text"]

_NO_LIMIT = 1 << 60  # cgroup v1 writes a huge number for "none"
_READ_LIMIT_BYTES = 4 << 20


def read_text(path: Path) -> str:
    """The content of a small file of /proc or /sys; empty when it is not there or not readable."""
    try:
        with path.open("rb") as file:
            return file.read(_READ_LIMIT_BYTES).decode("utf-8", "replace").strip().strip("\0")
    except (OSError, ValueError):
        return ""


def cpu_quota(root: Path) -> float | None:
    """CPUs that the tightest enclosing cgroup grants; None without a limit."""
    quotas = []
    for folder in _folders(root, "cpu"):
        maximum = read_text(folder / "cpu.max").split()
        if not maximum:
            maximum = [read_text(folder / "cpu.cfs_quota_us"), read_text(folder / "cpu.cfs_period_us")]
        numbers = [_number(text) for text in maximum]
        if len(numbers) == 2 and numbers[0] is not None and numbers[1]:
            quotas.append(numbers[0] / numbers[1])
    return min((quota for quota in quotas if quota > 0), default=None)


def memory_limit_bytes(root: Path) -> int | None:
    """The tightest memory limit around this process; None without one."""
    return min((limit for _folder, limit in _memory_limits(root)), default=None)


def memory_headroom_bytes(root: Path) -> int | None:
    """What may still be allocated below the limits; None without one.

    Counts anonymous memory as used and not the page cache, which gives way: memory.current would count both.
    """
    return min((max(0, limit - _anonymous_bytes(folder)) for folder, limit in _memory_limits(root)), default=None)


def _memory_limits(root: Path) -> Iterator[tuple[Path, int]]:
    for folder in _folders(root, "memory"):
        text = read_text(folder / "memory.max") or read_text(folder / "memory.limit_in_bytes")
        limit = _number(text)
        if limit is not None and 0 < limit < _NO_LIMIT:
            yield folder, limit


def _anonymous_bytes(folder: Path) -> int:
    rows = dict(line.split(" ", 1) for line in read_text(folder / "memory.stat").splitlines() if " " in line)
    return _number(rows.get("anon", rows.get("total_rss", "0")).strip()) or 0


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,20}", text) else None


def _folders(root: Path, controller: str) -> Iterator[Path]:
    """The cgroup of this process and those around it, innermost first; v2 and v1 may both be mounted."""
    base = root / "sys/fs/cgroup"
    for line in read_text(root / "proc/self/cgroup").splitlines():
        _number, _colon, rest = line.partition(":")
        controllers, _colon, path = rest.partition(":")
        if controllers == "":
            yield from _upwards(base, path)
        elif controller in controllers.split(","):
            yield from _upwards(base / controller, path)


def _upwards(base: Path, path: str) -> Iterator[Path]:
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    while True:
        folder = base.joinpath(*parts)
        if _is_folder(folder):
            yield folder
        if not parts:
            return
        parts.pop()


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long
        return False
