"""Is there memory for a model, and does swapping hurt?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from edgellm.deploy.checks.finding import Finding, fine, skipped, warning
from edgellm.deploy.checks.machine import Machine
from edgellm.devices.cgroup import memory_limit_bytes, read_text
from edgellm.devices.local import available_memory_bytes
from edgellm.devices.mounts import mount_of
from edgellm.units import format_bytes

__all__ = ["check_memory", "check_swap"]

_LITTLE_BYTES = 400 << 20  # a model of 135M parameters at 4 bits with its context and the runtime


class _Swap(NamedTuple):
    path: str
    size_bytes: int
    used_bytes: int


def check_memory(machine: Machine) -> Iterator[Finding]:
    """How much a model may take now."""
    free = available_memory_bytes(machine.root)
    if free is None:
        yield skipped("memory", "how much memory is free cannot be read here")
        return
    limit = memory_limit_bytes(machine.root)
    inside = f", within the limit of {format_bytes(limit)} of this container or service" if limit is not None else ""
    if free < _LITTLE_BYTES:
        yield warning(
            "memory",
            f"{format_bytes(free)} are free{inside}: hardly a model fits",
            "raise the limit of the container or service" if limit is not None else "close other programs",
        )
    else:
        yield fine("memory", f"{format_bytes(free)} are free{inside}")


def check_swap(machine: Machine) -> Iterator[Finding]:
    """Swap in compressed memory is good; swap on a memory card wears it and stalls everything."""
    swaps = _swaps(machine.root)
    compressed = [swap for swap in swaps if Path(swap.path).name.startswith("zram")]
    on_card = [swap for swap in swaps if swap not in compressed and _is_card(machine, swap.path)]
    if on_card:
        path = on_card[0].path
        yield warning(
            "swap",
            f"{format_bytes(on_card[0].size_bytes)} of swap lie on a memory card ({path}): swapping wears it out and "
            "is far too slow for a model",
            f"swap into compressed memory instead: sudo apt install zram-tools && sudo swapoff {path}, and take {path} "
            "out of what is mounted at start",
        )
    elif compressed:
        total = sum(swap.size_bytes for swap in compressed)
        yield fine("swap", f"{format_bytes(total)} of swap in compressed memory (zram)")
    elif swaps:
        used = sum(swap.used_bytes for swap in swaps)
        yield fine(
            "swap", f"{format_bytes(sum(swap.size_bytes for swap in swaps))} of swap, {format_bytes(used)} in use"
        )
    else:
        yield fine("swap", "no swap: a model that does not fit is refused before it is loaded")


def _swaps(root: Path) -> list[_Swap]:
    """The lines of /proc/swaps: path, kind, size and use in KiB, priority."""
    found = []
    for line in read_text(root / "proc/swaps").splitlines()[1:]:
        match = re.fullmatch(r"(/\S{1,255})\s+\w+\s+(\d{1,12})\s+(\d{1,12})\s+-?\d+", line.strip())
        if match is not None:
            found.append(_Swap(match.group(1), int(match.group(2)) * 1024, int(match.group(3)) * 1024))
    return found


def _is_card(machine: Machine, path: str) -> bool:
    """A partition of an SD card or eMMC, or a file on one."""
    mount = None if path.startswith("/dev/") else mount_of(Path(path), machine.mounts)
    return (mount.device if mount is not None else path).startswith("/dev/mmcblk")
