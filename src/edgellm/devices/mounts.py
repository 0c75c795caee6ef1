"""Which file system a path lies on, from /proc/self/mountinfo below ``root``."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from edgellm.devices.cgroup import read_text

__all__ = ["Mount", "mount_of", "read_mounts"]

_MOUNTS_LIMIT = 4096


class Mount(NamedTuple):
    """One line of the mount table."""

    point: str
    kind: str  # ext4, vfat, overlay ...
    device: str  # /dev/mmcblk0p2, a server's path, or a word
    read_only: bool
    number: str = ""  # MAJOR:MINOR of the block device
    options: str = ""  # of the file system, such as the folders of an overlay


def read_mounts(root: Path = Path("/")) -> list[Mount]:
    """The mount table, in the order in which things were mounted; lines that are none are left out."""
    mounts = []
    for line in read_text(root / "proc/self/mountinfo").splitlines()[:_MOUNTS_LIMIT]:
        before, separator, after = line.partition(" - ")
        fields, rest = before.split(" "), after.split(" ")
        if not separator or len(fields) < 6 or len(rest) < 2:
            continue
        options = [*fields[5].split(","), *(rest[2].split(",") if len(rest) > 2 else ())]
        file_system = _unescaped(rest[2]) if len(rest) > 2 else ""
        mounts.append(
            Mount(_unescaped(fields[4]), rest[0], _unescaped(rest[1]), "ro" in options, fields[2], file_system)
        )
    return mounts


def mount_of(path: Path, mounts: list[Mount]) -> Mount | None:
    """The mount that ``path``, which need not exist, lies on; None when the table does not say."""
    wanted = PurePosixPath(_resolved(path))
    found: Mount | None = None
    for mount in mounts:  # a later mount over the same folder hides the earlier one
        longer = found is None or len(mount.point) >= len(found.point)
        if longer and wanted.is_relative_to(mount.point):
            found = mount
    return found


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links, a NUL character
        return path.absolute()


def _unescaped(text: str) -> str:
    """The kernel writes space, tab, newline and backslash as three octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found.group(1), 8)), text)
