"""What this machine is: detected facts, the shipped profile that is made for it, and why it is that one.

Everything is read below ``root``, so that recorded trees of boards can be tested. The temperature is in
edgellm.devices.health, what was measured in edgellm.devices.calibration.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgellm.devices.board import Board, read_board
from edgellm.devices.cgroup import cpu_quota, memory_limit_bytes
from edgellm.devices.jetson import is_tegra, module_names, power_mode, says_super
from edgellm.devices.load import list_profiles
from edgellm.devices.local import decode_threads, detect_local, total_memory_bytes
from edgellm.devices.match import match_profile
from edgellm.devices.memory import os_reserve_bytes
from edgellm.devices.profile import Cpu, Figure, Memory, Profile, Storage
from edgellm.devices.storage import StorageInfo, find_storage
from edgellm.units import format_bytes

__all__ = ["Detection", "detect_device"]

_SAME_SIZE = 0.7  # MemTotal of a sold size: an 8 GB Jetson with JetPack 5 shows 6.3 GiB


class Detection(msgspec.Struct, frozen=True):
    """One machine."""

    local: Profile  # detected facts alone; no speed is known
    match: Profile | None  # the shipped profile of this board, with this machine's memory, cores and limits
    reasons: tuple[str, ...]  # why that profile or none, and what limits the machine
    board: Board
    storage: StorageInfo
    memory_total_bytes: int
    memory_limit_bytes: int | None = None  # of a container or service
    cpu_quota: float | None = None  # CPUs that a container or service may use

    @property
    def profile(self) -> Profile:
        """What to plan with."""
        return self.match or self.local


def detect_device(root: Path = Path("/"), *, folder: Path = Path("/"), machine: str | None = None) -> Detection:
    """Detect the machine below ``root``; ``folder`` is where models are kept, ``machine`` its architecture.

    Raises UnsupportedError where processor or memory cannot be read.
    """
    local = detect_local(root, machine=machine)
    board, reasons = read_board(root), list[str]()
    superclocked = _superclocked(root, board) if is_tegra(board.compatible) else ()
    found = match_profile(
        msgspec.structs.replace(board, compatible=superclocked + board.compatible), list_profiles(), local.cpu.arch
    )
    storage = find_storage(folder, root)
    local = msgspec.structs.replace(local, storage=_storage(storage, local))
    match = None
    if found.profile is None:
        reasons.append(f"no profile matches: {found.reason}")
    else:
        reasons.append(f"{found.profile.id}: {found.reason}")
        match = _with_this_machine(found.profile, local, storage, root)
    total = total_memory_bytes(root) or local.memory.size_bytes
    limit, quota = memory_limit_bytes(root), cpu_quota(root)
    reasons += _jetson_reasons(root, board)
    reasons += _limit_reasons(board, total, limit, quota)
    return Detection(
        local=local,
        match=match,
        reasons=tuple(reasons),
        board=board,
        storage=storage,
        memory_total_bytes=total,
        memory_limit_bytes=limit if limit is not None and limit < total else None,
        cpu_quota=quota,
    )


def _with_this_machine(shipped: Profile, local: Profile, storage: StorageInfo, root: Path) -> Profile:
    """The shipped profile with what only the machine itself knows: memory, cores, features, limits, disk."""
    threads = min(shipped.threads, decode_threads(root))
    return msgspec.structs.replace(
        shipped,
        cpu=_cpu(shipped.cpu, local.cpu),
        memory=_memory(shipped.memory, local.memory),
        storage=_storage(storage, shipped),
        policy=msgspec.structs.replace(
            shipped.policy, threads=threads, batch_threads=_at_most(shipped.policy.batch_threads, threads)
        ),
        note="; ".join(
            note for note in (shipped.note, "detected: memory, cores and limits are this machine's") if note
        ),
    )


def _cpu(shipped: Cpu, here: Cpu) -> Cpu:
    """Features decide which kernels run, so this machine's count; RISC-V kernels do not list all of them."""
    if not here.features or shipped.arch == "riscv64":
        return shipped
    return msgspec.structs.replace(shipped, features=here.features, features_source=here.features_source)


def _memory(shipped: Memory, here: Memory) -> Memory:
    """This machine's size. What firmware keeps of the size that is sold has left the system's share already."""
    reserve = here.os_reserve_mb  # of a container's limit
    sold = min((size for size in shipped.sold_bytes if size >= here.size_bytes), default=0)
    if reserve is None and here.size_bytes >= _SAME_SIZE * sold > 0:
        reserve = _reserve(shipped, here.size_bytes, sold)
    return msgspec.structs.replace(
        shipped, default_size=here.default_size, source=here.source, os_reserve_mb=reserve or shipped.os_reserve_mb
    )


def _reserve(shipped: Memory, total: int, sold: int) -> Figure:
    rule = os_reserve_bytes(msgspec.structs.replace(shipped, default_size=str(sold)))
    kept = max(rule - (sold - total), rule // 2)
    return Figure(
        value=round(kept / 1e6, 1),
        source=f"rule for {format_bytes(sold)} of memory, less the {format_bytes(sold - total)} that firmware keeps",
    )


def _storage(found: StorageInfo, profile: Profile) -> tuple[Storage, ...]:
    """The disk in use; with the published speed of that kind, where the profile has it."""
    match found.kind:
        case "microSD" | "eMMC" | "NVMe" | "SATA" | "UFS":
            return tuple(disk for disk in profile.storage if disk.kind == found.kind) or (Storage(kind=found.kind),)
    return ()


def _superclocked(root: Path, board: Board) -> tuple[str, ...]:
    """Names of the Super mode for a device tree that does not carry them itself."""
    if says_super(root, board.compatible) is None:
        return ()
    names = [name for entry in board.compatible for name in module_names(entry) if name.startswith("nvidia,p3767-")]
    return tuple(f"{name.removesuffix('-super')}-super" for name in names)


def _jetson_reasons(root: Path, board: Board) -> list[str]:
    if not is_tegra(board.compatible):
        return []
    reasons = []
    if any(name.startswith("nvidia,p3767-") for entry in board.compatible for name in module_names(entry)):
        why = says_super(root, board.compatible)
        reasons.append(
            f"clocks of the Super mode: {why}"
            if why
            else "neither device tree nor nvpmodel says Super (JetPack 6.2 brings it): clocks of the original module"
        )
    mode = power_mode(root)
    if mode is not None:
        slower = ", which slows memory down: `sudo nvpmodel -m` sets another" if mode.limits_memory else ""
        reasons.append(f"power mode {mode.name}{slower}")
    return reasons


def _limit_reasons(board: Board, total: int, limit: int | None, quota: float | None) -> list[str]:
    reasons = []
    if board.virtual:
        reasons.append(f"a virtual machine ({board.virtual}): memory and cores are what it was given")
    if board.container:
        reasons.append(f"inside a container ({board.container})")
    if limit is not None and limit < total:
        reasons.append(
            f"a limit of {format_bytes(limit)} around this process: planned for that, not {format_bytes(total)}"
        )
    if quota is not None:
        reasons.append(f"a limit of {quota:g} CPUs around this process")
    return reasons


def _at_most(value: int | None, most: int) -> int | None:
    return None if value is None else min(value, most)
