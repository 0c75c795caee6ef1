"""This machine as a device profile. Everything is read below ``root``, so recorded trees can be tested."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Literal

from edgellm.devices.board import read_board
from edgellm.devices.cgroup import cpu_quota, memory_headroom_bytes, memory_limit_bytes, read_text
from edgellm.devices.jetson import is_tegra
from edgellm.devices.macos import mac_available_bytes, read_mac
from edgellm.devices.policy import Policy
from edgellm.devices.profile import Cluster, Cpu, Figure, Memory, Performance, Profile
from edgellm.devices.topology import core_groups, cpu_features
from edgellm.errors import UnsupportedError

__all__ = ["available_memory_bytes", "decode_threads", "detect_local", "total_memory_bytes"]

_ARCHES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64", "riscv64": "riscv64"}
_DESKTOP_CHASSIS = {3, 4, 6, 7, 8, 9, 10, 11, 13, 14, 30, 31, 32, 35, 36}  # SMBIOS 3.6, table 17: PCs and laptops
_CONTAINER_RESERVE_MB = 64.0


def detect_local(root: Path = Path("/"), *, machine: str | None = None) -> Profile:
    """The profile of the machine whose /proc and /sys lie below ``root``; a Mac is asked with `sysctl`.

    ``machine`` is the architecture, by default this one's, and of a recorded tree what its /proc/cpuinfo shows. There
    is no speed figure: nothing was measured.
    Raises UnsupportedError where memory or processor cannot be read.
    """
    machine = machine or _machine(root)
    arch = _ARCHES.get(machine.lower())
    if arch is None:
        raise UnsupportedError(
            f"this machine's processor, {machine}, is not one that edgellm knows",
            hint="name the device instead: `edgellm devices list`",
        )
    groups = core_groups(root, _affinity(root))
    memory = _memory(root)
    clusters = tuple(
        Cluster(core=group.core, count=group.n_cores, mhz=_plausible(group.mhz), source="this machine")
        for group in groups
    )
    return Profile(
        id="local",
        name=read_board(root).model[:200] or "this machine",
        support="unknown",
        cpu=Cpu(
            arch=arch,  # type: ignore[arg-type]  # one of the three literals by construction
            clusters=clusters or (Cluster(core="core", count=os.cpu_count() or 1, source="this machine"),),
            features=tuple(f for f in cpu_features(root) if re.fullmatch(r"[a-z0-9_.]{1,32}", f)),
            features_source=f"{'sysctl' if read_mac(root) is not None else '/proc/cpuinfo'} of this machine",
        ),
        memory=memory,
        perf=Performance(confidence="low"),
        policy=_policy(arch, cpu_features(root), decode_threads(root), memory.size_bytes),
        note="detected; nothing was measured",
    )


def decode_threads(root: Path = Path("/")) -> int:
    """Threads for decode here: the fastest cluster's physical cores, within affinity and CPU quota."""
    groups = core_groups(root, _affinity(root))
    count = groups[0].n_cores if groups else os.cpu_count() or 1
    quota = cpu_quota(root)
    if quota is not None:
        count = min(count, max(1, int(quota)))
    return max(1, count)


def available_memory_bytes(root: Path = Path("/")) -> int | None:
    """What a new process may allocate now: MemAvailable within the cgroup's headroom; None where unknown."""
    found = [_meminfo(root).get("MemAvailable"), memory_headroom_bytes(root), mac_available_bytes(root)]
    return min((value for value in found if value is not None), default=None)


def total_memory_bytes(root: Path = Path("/")) -> int | None:
    """MemTotal, whatever a container may use of it; None where unknown."""
    mac = read_mac(root)
    return mac.memory_bytes if mac is not None else _meminfo(root).get("MemTotal")


def _memory(root: Path) -> Memory:
    total = total_memory_bytes(root)
    if not total or total < 16 << 20:
        raise UnsupportedError(
            "the amount of memory of this machine cannot be read, neither from /proc/meminfo nor with sysctl",
            hint="name the device instead: `edgellm devices list`",
        )
    limit = memory_limit_bytes(root)
    if limit is not None and 16 << 20 <= limit < total:
        return Memory(
            sizes=(str(limit),),
            default_size=str(limit),
            source="cgroup memory limit",
            os_reserve_mb=Figure(value=_CONTAINER_RESERVE_MB, source="the limit covers this container alone"),
        )
    return Memory(
        sizes=(str(total),),
        default_size=str(total),
        source="MemTotal of /proc/meminfo" if read_mac(root) is None else "hw.memsize of sysctl",
        system=_system(root),
    )


def _system(root: Path) -> Literal["headless", "desktop", "jetson", "android", "macos"]:
    """What else runs here: it decides how much memory is left to it."""
    if read_mac(root) is not None:
        return "macos"
    if is_tegra(read_board(root).compatible):
        return "jetson"
    if (root / "system/build.prop").exists():
        return "android"
    chassis = read_text(root / "sys/class/dmi/id/chassis_type")
    return "desktop" if re.fullmatch(r"\d{1,3}", chassis) and int(chassis) in _DESKTOP_CHASSIS else "headless"


def _meminfo(root: Path) -> dict[str, int]:
    rows = {}
    for line in read_text(root / "proc/meminfo").splitlines():
        found = re.fullmatch(r"(\w+):\s*(\d{1,15}) kB", line.strip())
        if found:
            rows[found.group(1)] = int(found.group(2)) * 1024
    return rows


def _affinity(root: Path) -> frozenset[int] | None:
    """CPUs that this process may use; a recorded tree has none."""
    if root != Path("/") or not hasattr(os, "sched_getaffinity"):
        return None
    return frozenset(os.sched_getaffinity(0))


def _machine(root: Path) -> str:
    """The architecture; the kernel's field names in /proc/cpuinfo give away that of a recorded tree."""
    mac = read_mac(root)
    if mac is not None:
        return mac.machine
    if root != Path("/"):
        text = read_text(root / "proc/cpuinfo")
        for field, arch in (("CPU implementer", "aarch64"), ("vendor_id", "x86_64"), ("hart", "riscv64")):
            if re.search(rf"^{field}\s*:", text, re.MULTILINE):
                return arch
    return platform.machine()


def _policy(arch: str, features: tuple[str, ...], threads: int, memory_bytes: int) -> Policy:
    slow_arm = arch == "aarch64" and "asimddp" not in features
    return Policy(
        reason="ARM cores without dot products run 4-bit blocks fastest"
        if slow_arm
        else "general rule for this processor",
        preferred=("Q8_0", "Q4_K_S", "Q4_0") if slow_arm else (),
        avoided=("Q3_K_L", "Q3_K_M", "Q3_K_S", "IQ4_XS"),
        ubatch=512 if memory_bytes >= 2 << 30 else 128,
        threads=threads,
        isolation="process" if memory_bytes >= 1 << 30 else "in-process",
    )


def _plausible(mhz: int | None) -> int | None:
    return mhz if mhz is not None and 100 <= mhz <= 10000 else None
