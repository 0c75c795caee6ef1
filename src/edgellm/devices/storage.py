"""What kind of disk a folder lies on: /proc/self/mountinfo, then /sys. Read below ``root``; speed is not guessed."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

import msgspec

from edgellm.devices.cgroup import read_text

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
_NETWORK = re.compile(r"nfs4?|cifs|smb3?|9p|virtiofs|ceph|glusterfs|lustre|afs|fuse\.(sshfs|rclone|glusterfs|s3fs|gvfs.*)")
_DEPTH = 4  # a partition on LVM on LUKS on RAID
_MOUNTS_LIMIT = 4096
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


class _Mount(NamedTuple):
    device: str  # MAJOR:MINOR
    point: str
    filesystem: str
    source: str
    options: str
    read_only: bool


def find_storage(folder: Path, root: Path = Path("/")) -> StorageInfo:
    """The storage of ``folder``, which need not exist yet. ``folder`` is a path of the machine below ``root``."""
    return _storage_of(str(PurePosixPath("/") / str(folder)), _mounts(root), root, _DEPTH)


def _storage_of(path: str, mounts: list[_Mount], root: Path, depth: int) -> StorageInfo:
    mount = _mount_of(path, mounts)
    if mount is None:
        return StorageInfo()
    info = StorageInfo(filesystem=mount.filesystem, mount=mount.point, read_only=mount.read_only)

    def found(kind: StorageKind, device: str = "", model: str = "", note: str = "") -> StorageInfo:
        return msgspec.structs.replace(info, kind=kind, device=device, model=model, note=note)

    if _NETWORK.fullmatch(mount.filesystem):
        return found("network", mount.source)
    if mount.filesystem in ("tmpfs", "ramfs"):
        return found("memory", note="files here take RAM and are gone after a restart")
    if mount.filesystem in ("overlay", "overlayfs", "aufs"):
        return _below_overlay(mount, mounts, root, depth, found("overlay"))
    disk = _disk(_block_name(mount, root), root, _DEPTH)
    if not disk:
        return found("unknown")
    kind = _kind(disk, root)
    return found(kind, disk, _model(disk, root))


def _below_overlay(mount: _Mount, mounts: list[_Mount], root: Path, depth: int, seen: StorageInfo) -> StorageInfo:
    """An overlay writes to its upper folder, which a container does not see."""
    upper = re.search(r"(?:^|,)upperdir=([^,]+)", mount.options)
    below = _mount_of(upper.group(1), mounts) if upper else None
    if below is None or below == mount or depth <= 0 or below.filesystem == "overlay":
        return msgspec.structs.replace(seen, note="the disk below it is not visible from here")
    info = _storage_of(below.point, mounts, root, depth - 1)
    return msgspec.structs.replace(info, filesystem="overlay", mount=mount.point, read_only=mount.read_only)


def _mounts(root: Path) -> list[_Mount]:
    """The mounts in the order of the file: a later one hides an earlier one at the same place."""
    mounts = []
    for line in read_text(root / "proc/self/mountinfo").splitlines()[:_MOUNTS_LIMIT]:
        before, dash, after = line.partition(" - ")
        fields, rest = before.split(" "), after.split(" ")
        if not dash or len(fields) < 6 or len(rest) < 3:
            continue
        options = fields[5].split(",")
        point = _unescaped(fields[4])
        mounts.append(_Mount(fields[2], point, rest[0], _unescaped(rest[1]), rest[2], "ro" in options))
    return mounts


def _mount_of(path: str, mounts: list[_Mount]) -> _Mount | None:
    best: _Mount | None = None
    for mount in mounts:
        inside = path == mount.point or path.startswith(mount.point.rstrip("/") + "/")
        if inside and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    return best


def _unescaped(text: str) -> str:
    """Octal escapes as the kernel writes them: ``\\040`` is a space."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found.group(1), 8)), text)


def _block_name(mount: _Mount, root: Path) -> str:
    """The kernel's name of the mounted block device."""
    if re.fullmatch(r"\d{1,8}:\d{1,8}", mount.device):
        said = re.search(r"^DEVNAME=(.+)$", read_text(root / "sys/dev/block" / mount.device / "uevent"), re.MULTILINE)
        if said:
            return _safe(said.group(1))
    if not mount.source.startswith("/dev/"):
        return ""
    if mount.source.startswith("/dev/mapper/"):
        wanted = mount.source.removeprefix("/dev/mapper/")
        for folder in _folders(root / "sys/block"):
            if folder.startswith("dm-") and read_text(root / "sys/block" / folder / "dm/name") == wanted:
                return folder
        return ""
    return _safe(mount.source.removeprefix("/dev/"))


def _disk(name: str, root: Path, depth: int) -> str:
    """The disk of a partition, or of what a mapped or joined device is made of."""
    if not name or depth <= 0:
        return ""
    below = _folders(root / "sys/block" / name / "slaves")
    if below:
        return _disk(below[0], root, depth - 1)
    if (root / "sys/block" / name).is_dir():
        return name
    found = re.fullmatch(r"((?:mmcblk|nvme|nbd|loop).*\d)p\d+", name) or re.fullmatch(r"((?:sd|vd|xvd|hd)[a-z]+)\d+", name)
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
        return sorted(os.listdir(folder))[:_MOUNTS_LIMIT]
    except OSError:
        return []


def _safe(name: str) -> str:
    """A device name as a folder of /sys: no way up, no way out."""
    name = name.strip().replace("/", "!")  # the kernel's own replacement
    return name if name not in ("", ".", "..") and len(name) < 100 and name.isprintable() else ""
