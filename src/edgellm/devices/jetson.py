"""NVIDIA Jetson: modules and carrier boards in the device tree, Super mode, power mode. Read below ``root``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from edgellm.devices.cgroup import read_text

__all__ = ["PowerMode", "is_tegra", "module_names", "power_mode", "says_super"]

_SUPER_MODE = "MAXN_SUPER"


class PowerMode(NamedTuple):
    """The mode that nvpmodel set."""

    name: str
    limits_memory: bool  # the mode caps the clock of the memory, and with it decode speed


def is_tegra(compatible: tuple[str, ...]) -> bool:
    """True for every Jetson."""
    return any(entry.startswith("nvidia,tegra") for entry in compatible)


def module_names(entry: str) -> tuple[str, ...]:
    """``nvidia,p3768-0000+p3767-0005-super`` -> itself and ``nvidia,p3767-0005-super``.

    NVIDIA writes the carrier board before the plus and the module after it. The module decides what a model can do, on
    every vendor's carrier.
    """
    vendor, comma, rest = entry.partition(",")
    _carrier, plus, module = rest.partition("+")
    return (entry, f"{vendor},{module}") if comma and plus and vendor == "nvidia" else (entry,)


def says_super(root: Path, compatible: tuple[str, ...]) -> str | None:
    """Why this module runs with the clocks of the Super mode (JetPack 6.2 and later); None when nothing says so."""
    for entry in compatible:
        if entry.endswith("-super"):
            return f"the device tree says {entry}"
    if _SUPER_MODE in read_text(root / "etc/nvpmodel.conf"):
        return f"/etc/nvpmodel.conf has the mode {_SUPER_MODE}"
    return None


def power_mode(root: Path) -> PowerMode | None:
    """The mode in force, by its name in /etc/nvpmodel.conf; None where that is not known."""
    found = re.search(r"\bpmode:0*(\d{1,4})\b", read_text(root / "var/lib/nvpmodel/status"))
    if found is None:
        return None
    modes = re.split(r"<\s*POWER_MODEL\s+", read_text(root / "etc/nvpmodel.conf"))
    for text in modes[1:]:
        named = re.match(rf"ID={found.group(1)}\s+NAME=([\w.+-]{{1,40}})\s*>", text)
        if named:
            return PowerMode(named.group(1), re.search(r"^EMC MAX_FREQ [1-9]", text, re.MULTILINE) is not None)
    return None
