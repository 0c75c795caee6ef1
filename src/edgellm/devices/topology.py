"""The processor of this machine: architecture, features, and which cores are the fast ones."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from edgellm.devices.cgroup import read_text
from edgellm.devices.macos import read_mac

__all__ = ["CoreGroup", "core_groups", "cpu_features", "cpu_name", "parse_cpu_list"]

_CPUS_LIMIT = 4096
_SAME_SPEED = 0.85
_VECTORS_256 = re.compile(r"spacemit.{0,5}x60", re.IGNORECASE)  # SpacemiT K1: VLEN 256 by its data sheet
_ARM_CORES = {
    "0xd03": "Cortex-A53",
    "0xd04": "Cortex-A35",
    "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72",
    "0xd09": "Cortex-A73",
    "0xd0a": "Cortex-A75",
    "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse-N1",
    "0xd0d": "Cortex-A77",
    "0xd41": "Cortex-A78",
    "0xd42": "Cortex-A78AE",
    "0xd44": "Cortex-X1",
    "0xd46": "Cortex-A510",
    "0xd47": "Cortex-A710",
    "0xd48": "Cortex-X2",
    "0xd4d": "Cortex-A715",
    "0xd4e": "Cortex-X3",
    "0xd80": "Cortex-A520",
    "0xd81": "Cortex-A720",
    "0xd82": "Cortex-X4",
}


class CoreGroup(NamedTuple):
    """Physical cores of one speed."""

    core: str
    n_cores: int  # physical cores; hyper-threads of one core count once
    mhz: int | None  # highest clock; None where the system does not say


def cpu_features(root: Path) -> tuple[str, ...]:
    """Instruction set features in /proc/cpuinfo's own words, sorted; those that all cores share."""
    mac = read_mac(root)
    if mac is not None:
        return mac.features
    found: list[set[str]] = []
    for line in read_text(root / "proc/cpuinfo").splitlines():
        key, _colon, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            found.append(set(value.lower().split()))
        elif key.strip() == "isa":
            found.append(_riscv_features(value.strip().lower()))
    shared = set.intersection(*found) if found else set()
    if "v" in shared and _VECTORS_256.search(cpu_name(root)):
        shared.add("zvl256b")  # the kernel does not say how long vectors are
    return tuple(sorted(shared))


def cpu_name(root: Path) -> str:
    """What /proc/cpuinfo calls the processor, or an empty string."""
    mac = read_mac(root)
    if mac is not None:
        return mac.cpu
    text = read_text(root / "proc/cpuinfo")
    for key in ("model name", "Model", "Hardware", "uarch"):
        found = re.search(rf"^{key}\s*:\s*(.+)$", text, re.MULTILINE)
        if found:
            return " ".join(found.group(1).split())[:200]
    return ""


def core_groups(root: Path, allowed: frozenset[int] | None = None) -> list[CoreGroup]:
    """Physical cores grouped by speed, the fastest group first; only CPUs in ``allowed`` count.

    Speed is cpu_capacity where the kernel knows it, else the highest clock. Cores within 15 % of the fastest are one
    group: favoured cores of one cluster differ by less, the clusters of a Snapdragon 8 Elite by 18 %, others by more.
    """
    mac = read_mac(root)
    if mac is not None:
        return [CoreGroup(*group) for group in mac.cores]
    cpus = _online(root)
    if allowed is not None:
        cpus = [cpu for cpu in cpus if cpu in allowed] or cpus
    parts = _arm_parts(root)
    cores: dict[str, tuple[float, int | None, str]] = {}
    for cpu in cpus:
        folder = root / f"sys/devices/system/cpu/cpu{cpu}"
        siblings = read_text(folder / "topology/thread_siblings_list") or str(cpu)
        mhz = _integer(read_text(folder / "cpufreq/cpuinfo_max_freq"))
        clock = mhz // 1000 if mhz else None
        speed = float(_integer(read_text(folder / "cpu_capacity")) or clock or 0)
        cores.setdefault(siblings, (speed, clock, parts.get(cpu, "")))
    return _grouped(list(cores.values()), cpu_name(root) or "core")


def _grouped(cores: list[tuple[float, int | None, str]], default_name: str) -> list[CoreGroup]:
    groups: list[list[tuple[float, int | None, str]]] = []
    for core in sorted(cores, key=lambda entry: -entry[0]):
        if groups and core[0] >= _SAME_SPEED * groups[-1][0][0]:
            groups[-1].append(core)
        else:
            groups.append([core])
    return [
        CoreGroup(
            group[0][2] or default_name, len(group), max((clock for _s, clock, _n in group if clock), default=None)
        )
        for group in groups
    ]


def _online(root: Path) -> list[int]:
    listed = parse_cpu_list(read_text(root / "sys/devices/system/cpu/online"))
    if listed:
        return listed
    return [
        int(n) for n in re.findall(r"^processor\s*:\s*([0-9]{1,5})$", read_text(root / "proc/cpuinfo"), re.MULTILINE)
    ]


def parse_cpu_list(text: str) -> list[int]:
    """``0-3,6`` -> [0, 1, 2, 3, 6]; what is not such a list gives an empty one."""
    cpus: list[int] = []
    for part in filter(None, text.strip().split(",")):
        found = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", part)
        if found is None:
            return []
        first, last = int(found.group(1)), int(found.group(2) or found.group(1))
        cpus.extend(range(first, min(last, first + _CPUS_LIMIT) + 1))
    return cpus


def _arm_parts(root: Path) -> dict[int, str]:
    names: dict[int, str] = {}
    cpu = -1
    for line in read_text(root / "proc/cpuinfo").splitlines():
        key, _colon, value = line.partition(":")
        if key.strip() == "processor" and re.fullmatch(r"[0-9]{1,5}", value.strip()):
            cpu = int(value)
        elif key.strip() == "CPU part":
            part = value.strip().lower()
            names[cpu] = _ARM_CORES.get(part, f"ARM part {part}")
    return names


def _riscv_features(isa: str) -> set[str]:
    base, *extensions = isa.split("_")
    features = set(re.sub(r"^rv(32|64)", "", base)) | {e for e in extensions if e}
    return {name for name in features if re.fullmatch(r"[a-z0-9]{1,32}", name)}


def _integer(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,11}", text) else None
