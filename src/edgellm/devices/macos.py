"""A Mac, read with `sysctl`: processor, cores, features and memory in the words that Linux has for them."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from edgellm.devices.tool_output import sysctl

__all__ = ["Mac", "mac_available_bytes", "read_mac"]

_NAMES = (
    "hw.model",
    "hw.memsize",
    "hw.physicalcpu",
    "hw.cpufrequency_max",
    "hw.optional",
    "hw.perflevel0",
    "hw.perflevel1",
    "kern.hv_vmm_present",
    "machdep.cpu.brand_string",
    "machdep.cpu.features",
    "machdep.cpu.leaf7_features",
)
# Apple, "Determining instruction set characteristics" -> the word of Linux' /proc/cpuinfo
_ARM_FEATURES = {
    "hw.optional.floatingpoint": ("fp",),
    "hw.optional.neon": ("asimd",),
    "hw.optional.AdvSIMD": ("asimd",),
    "hw.optional.armv8_crc32": ("crc32",),
    "hw.optional.arm.FEAT_AES": ("aes",),
    "hw.optional.arm.FEAT_BF16": ("bf16",),
    "hw.optional.arm.FEAT_CRC32": ("crc32",),
    "hw.optional.arm.FEAT_DPB": ("dcpop",),
    "hw.optional.arm.FEAT_DotProd": ("asimddp",),
    "hw.optional.arm.FEAT_FP16": ("fphp", "asimdhp"),
    "hw.optional.arm.FEAT_I8MM": ("i8mm",),
    "hw.optional.arm.FEAT_LRCPC": ("lrcpc",),
    "hw.optional.arm.FEAT_LSE": ("atomics",),
    "hw.optional.arm.FEAT_PMULL": ("pmull",),
    "hw.optional.arm.FEAT_RDM": ("asimdrdm",),
    "hw.optional.arm.FEAT_SHA1": ("sha1",),
    "hw.optional.arm.FEAT_SHA256": ("sha2",),
    "hw.optional.arm.FEAT_SME": ("sme",),
}
_X86_SPELLINGS = {"avx1.0": "avx"}


class Mac(NamedTuple):
    """What `sysctl` says of a Mac."""

    machine: str  # "arm64", "x86_64"
    model: str  # "Mac16,10"
    cpu: str  # "Apple M4"
    memory_bytes: int | None
    cores: tuple[tuple[str, int, int | None], ...]  # kind, physical cores, highest clock in MHz; the fastest first
    features: tuple[str, ...]  # in /proc/cpuinfo's words
    virtual: bool


def read_mac(root: Path = Path("/")) -> Mac | None:
    """The Mac below ``root``; None for any other machine."""
    return _this_mac() if root == Path("/") else _read(root)


@lru_cache(maxsize=1)
def _this_mac() -> Mac | None:
    return _read(Path("/"))


def _read(root: Path) -> Mac | None:
    said = sysctl(root, *_NAMES)
    if "hw.memsize" not in said and "hw.model" not in said:
        return None
    cpu = " ".join(said.get("machdep.cpu.brand_string", "").split())[:200]
    arm = said.get("hw.optional.arm64") == "1" or cpu.startswith("Apple ")
    return Mac(
        machine="arm64" if arm else "x86_64",
        model=said.get("hw.model", "")[:100],
        cpu=cpu,
        memory_bytes=_number(said.get("hw.memsize", "")),
        cores=_cores(said, cpu or "core"),
        features=_arm_features(said) if arm else _x86_features(said),
        virtual=said.get("kern.hv_vmm_present") == "1",
    )


def mac_available_bytes(root: Path = Path("/")) -> int | None:
    """What a new process may allocate now, by the kernel's own percentage; None where it is no Mac."""
    said = sysctl(root, "hw.memsize", "kern.memorystatus_level")
    total, level = (_number(said.get(name, "")) for name in ("hw.memsize", "kern.memorystatus_level"))
    return total * min(level, 100) // 100 if total is not None and level is not None else None


def _cores(said: dict[str, str], cpu: str) -> tuple[tuple[str, int, int | None], ...]:
    groups = []
    for level, kind in enumerate(("performance", "efficiency")):
        count = _number(said.get(f"hw.perflevel{level}.physicalcpu", ""))
        if count:
            name = said.get(f"hw.perflevel{level}.name", kind).lower()[:40]
            groups.append((f"{cpu}, {name}", count, None))
    if groups:
        return tuple(groups)
    count, clock = _number(said.get("hw.physicalcpu", "")), _number(said.get("hw.cpufrequency_max", ""))
    return ((cpu, count, clock // 1_000_000 if clock else None),) if count else ()


def _arm_features(said: dict[str, str]) -> tuple[str, ...]:
    found = {word for key, words in _ARM_FEATURES.items() if said.get(key, "0") != "0" for word in words}
    if found and "hw.optional.arm.FEAT_DotProd" not in said:
        found.add("asimddp")  # before macOS 12 there was no such key, and all Apple processors of Macs have it
    return tuple(sorted(found))


def _x86_features(said: dict[str, str]) -> tuple[str, ...]:
    words = f"{said.get('machdep.cpu.features', '')} {said.get('machdep.cpu.leaf7_features', '')}".lower().split()
    return tuple(sorted({_X86_SPELLINGS.get(word, word).replace(".", "_") for word in words}))


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None
