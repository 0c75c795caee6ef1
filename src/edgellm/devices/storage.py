"""What kind of disk a folder lies on: /proc/self/mountinfo, then /sys. Read below ``root``; speed is not guessed."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal

import msgspec

from edgellm.devices.cgroup import read_text
from edgellm.devices.mounts import Mount, mount_of, read_mounts

__all__ = ["StorageInfo", "StorageKind", "find_storage"]

StorageKind = Literal[
    "microSD",
    "eMMC",
    "NVMe",
    "SATA",
    "UFS",
    "USB",
    "hard disk",
    "virtual disk",
    "network",
    "overlay",
    "memory",
    "unknown",
]
_NETWORK = re.compile(
    r"nfs4?|cifs|smb3?|9p|virtiofs|ceph|glusterfs|lustre|afs|fakeowner|fuse\.(sshfs|rclone|glusterfs|s3fs|grpcfuse|gvfs.*)"
)
_DEPTH = 4  # a partition on LVM on LUKS on RAID
_ENTRIES_LIMIT = 4096
_VIRTUAL_VENDORS = ("qemu", "vmware", "msft", "vbox", "google", "red hat", "amazon")


class StorageInfo(msgspec.Struct, frozen=True):
    """The disk below one folder."""

    kind: StorageKind = "unknown"
    device: str = ""  # mmcblk0, nvme0n1, sda; the server for a network folder
    model: str = ""
    filesystem: str = ""
    mount: str = ""
    read_only: bool = False
    note: str = ""


def find_storage(folder: Path, root: Path = Path("/")) -> StorageInfo:
    """The storage of ``folder``, which need not exist yet. ``folder`` is a path of the machine below ``root``."""
    return _storage_of(folder, read_mounts(root), root, _DEPTH)


def _storage_of(path: Path, mounts: list[Mount], root: Path, depth: int) -> StorageInfo:
    mount = mount_of(path, mounts)
    if mount is None:
        return StorageInfo()
    info = StorageInfo(filesystem=mount.kind, mount=mount.point, read_only=mount.read_only)

    def found(kind: StorageKind, device: str = "", model: str = "", note: str = "") -> StorageInfo:
        return msgspec.structs.replace(info, kind=kind, device=device, model=model, note=note)

    if _NETWORK.fullmatch(mount.kind):
        return found("network", mount.device)
    if mount.kind in ("tmpfs", "ramfs"):
        return found("memory", note="files here take RAM and are gone after a restart")
    if mount.kind in ("overlay", "overlayfs", "aufs"):
        return _below_overlay(mount, mounts, root, depth, found("overlay"))
    disk = _disk(_block_name(mount, root), root, _DEPTH)
    if not disk:
        return found("unknown")
    kind = _kind(disk, root)
    return found(kind, disk, _model(disk, root))


def _below_overlay(mount: Mount, mounts: list[Mount], root: Path, depth: int, seen: StorageInfo) -> StorageInfo:
    """An overlay writes to its upper folder, which a container does not see."""
    upper = re.search(r"(?:^|,)upperdir=([^,]+)", mount.options)
    below = mount_of(Path(upper.group(1)), mounts) if upper else None
    if below is None or below == mount or depth <= 0 or below.kind == "overlay":
        return msgspec.structs.replace(seen, note="the disk below it is not visible from here")
    info = _storage_of(Path(below.point), mounts, root, depth - 1)
    return msgspec.structs.replace(info, filesystem="overlay", mount=mount.point, read_only=mount.read_only)


def _block_name(mount: Mount, root: Path) -> str:
    """The kernel's name of the mounted block device."""
    if re.fullmatch(r"\d{1,8}:\d{1,8}", mount.number):
        said = re.search(r"^DEVNAME=(.+)$", read_text(root / "sys/dev/block" / mount.number / "uevent"), re.MULTILINE)
        if said:
            return _safe(said.group(1))
    if not mount.device.startswith("/dev/"):
        return ""
    if mount.device.startswith("/dev/mapper/"):
        wanted = mount.device.removeprefix("/dev/mapper/")
        for folder in _folders(root / "sys/block"):
            if folder.startswith("dm-") and read_text(root / "sys/block" / folder / "dm/name") == wanted:
                return folder
        return ""
    return _safe(mount.device.removeprefix("/dev/"))


def _disk(name: str, root: Path, depth: int) -> str:
    """The disk of a partition, or of what a mapped or joined device is made of."""
    if not name or depth <= 0:
        return ""
    below = _folders(root / "sys/block" / name / "slaves")
    if below:
        return _disk(below[0], root, depth - 1)
    if (root / "sys/block" / name).is_dir():
        return name
    found = re.fullmatch(r"((?:mmcblk|nvme|nbd|loop).*\d)p\d+", name) or re.fullmatch(
        r"((?:sd|vd|xvd|hd)[a-z]+)\d+", name
    )
    return found.group(1) if found else _parent(name, root)


def _parent(name: str, root: Path) -> str:
    """A partition without its disk's name in its own, or LVM on a partition: a look at all disks."""
    for disk in _folders(root / "sys/block"):
        if (root / "sys/block" / disk / name).is_dir():
            return disk
    return name if re.fullmatch(r"mmcblk\d+|nvme\d+n\d+|[svxh]+d[a-z]+", name) else ""


def _kind(disk: str, root: Path) -> StorageKind:
    folder = root / "sys/block" / disk
    if disk.startswith("mmcblk"):
        kind = read_text(folder / "device/type").upper()
        return {"SD": "microSD", "MMC": "eMMC"}.get(kind, "unknown")  # type: ignore[return-value]  # literals all
    if disk.startswith("nvme"):
        return "NVMe"
    if disk.startswith(("vd", "xvd")):
        return "virtual disk"
    if disk.startswith(("nbd", "rbd", "drbd")):
        return "network"
    if disk.startswith("zram"):
        return "memory"
    if not disk.startswith(("sd", "hd")):
        return "unknown"
    vendor = read_text(folder / "device/vendor").strip().lower()
    if vendor.startswith(_VIRTUAL_VENDORS):
        return "virtual disk"
    if read_text(folder / "queue/rotational") == "1":
        return "hard disk"
    return _bus(folder, root, vendor)


def _bus(folder: Path, root: Path, vendor: str) -> StorageKind:
    """How a SCSI disk is attached: the path of the device through the buses of the machine."""
    real = os.path.realpath(folder)
    base = os.path.realpath(root).rstrip("/")
    path = real.removeprefix(base) if real.startswith(base + "/") else ""
    if "/usb" in path:
        return "USB"
    if re.search(r"ufs", path):
        return "UFS"
    if "/virtio" in path or "/xen" in path:
        return "virtual disk"
    return "SATA" if "/ata" in path or vendor == "ata" else "unknown"


def _model(disk: str, root: Path) -> str:
    folder = root / "sys/block" / disk / "device"
    text = read_text(folder / "model") or read_text(folder / "name")
    return " ".join("".join(letter for letter in text[:200] if letter.isprintable()).split())[:80]


def _folders(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir())[:_ENTRIES_LIMIT]
    except OSError:
        return []


def _safe(name: str) -> str:
    """A device name as a folder of /sys: no way up, no way out."""
    name = name.strip().replace("/", "!")  # the kernel's own replacement
    return name if name not in ("", ".", "..") and len(name) < 100 and name.isprintable() else ""
