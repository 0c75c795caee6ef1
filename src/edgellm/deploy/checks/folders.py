"""May edgellm read and write its folders, and do they lie on a disk that is fit for it?"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from edgellm.deploy.checks.finding import Finding, fine, problem, skipped, warning
from edgellm.deploy.checks.machine import Machine
from edgellm.devices.mounts import mount_of
from edgellm.errors import EdgeLLMError
from edgellm.files import existing_parent

__all__ = ["access_problem", "check_filesystem", "check_folders", "check_settings", "is_read_only"]

_UNFIT = {
    "vfat": "has no files over 4 GiB and loses files in a power cut",
    "msdos": "has no files over 4 GiB and loses files in a power cut",
    "exfat": "has no journal: a power cut may lose the whole store",
    "ntfs": "is not written safely by Linux",
    "ntfs3": "is not written safely by Linux",
    "fuseblk": "is foreign to Linux: locks and safe renames are not certain",
    "nfs": "is on another machine: locks work only if that one grants them",
    "nfs4": "is on another machine: locks work only if that one grants them",
    "cifs": "is on another machine: locks work only if that one grants them",
    "smb3": "is on another machine: locks work only if that one grants them",
    "9p": "belongs to another system: locks and mapped files may fail",
    "tmpfs": "is memory: everything in it is gone after a restart",
    "ramfs": "is memory: everything in it is gone after a restart",
}


def check_settings(machine: Machine) -> Iterator[Finding]:
    """Can the settings be read, and does the device that they name exist?"""
    settings = machine.settings
    if isinstance(settings, EdgeLLMError):
        yield problem("settings", settings.message, settings.hint or "edgellm config show --origin")
        return
    device = settings.values.device
    if device is not None and device != "local":
        from edgellm.devices.load import load_profile

        try:
            load_profile(device)
        except EdgeLLMError as error:
            where = settings.origin["device"]
            yield problem("settings", f"{error.message} (from {where})", "edgellm devices list, and name one of these")
            return
    changed = sum(origin != "default" for origin in settings.origin.values())
    yield fine("settings", f"{changed} of {len(settings.origin)} settings differ from their defaults")


def check_folders(machine: Machine) -> Iterator[Finding]:
    """Settings, state and cache: readable, and those that are written to writable."""
    bad = False
    home = "EDGELLM_HOME" if machine.environ.get("EDGELLM_HOME") else None
    for what, folder, writes, variable in (
        ("settings", machine.paths.config, False, ""),
        ("state", machine.paths.state, True, "EDGELLM_STATE"),
        ("cache", machine.paths.cache, True, home or "XDG_CACHE_HOME"),
    ):
        found = access_problem(folder, writes=writes, variable=variable)
        if found is not None:
            bad = True
            yield problem("folders", f"the {what} folder {found[0]}", found[1])
    if not bad:
        yield fine("folders", "the folders for settings, state and cache can be used")


def check_filesystem(machine: Machine) -> Iterator[Finding]:
    """The kind of file system under the store."""
    if not machine.mounts:
        yield skipped("file system", "the table of mounted file systems cannot be read here")
        return
    mount = mount_of(machine.paths.store, machine.mounts)
    if mount is None:
        yield skipped("file system", f"no mounted file system holds {machine.paths.store}")
    elif mount.kind in _UNFIT:
        yield warning(
            "file system",
            f"the store lies on {mount.kind} ({mount.point}), which {_UNFIT[mount.kind]}",
            "export EDGELLM_STORE=DIR with a folder on a Linux file system such as ext4",
        )
    else:
        yield fine("file system", f"the store lies on {mount.kind} ({mount.point})")


def is_read_only(path: Path) -> bool:
    """True when the disk below ``path`` or its nearest existing parent is mounted read-only, whoever asks."""
    try:
        return bool(os.statvfs(existing_parent(path)).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def access_problem(folder: Path, *, writes: bool, variable: str = "EDGELLM_HOME") -> tuple[str, str] | None:
    """What is wrong with a folder, continuing its name, and the fix; None when it can be used.

    A folder that does not exist can be used when it can be made. ``variable`` moves it to another disk.
    """
    try:
        existing = existing_parent(folder)
        if not existing.is_dir():
            return f"{folder} cannot be made: {existing} is a file", f"move {shlex.quote(str(existing))} away"
    except PermissionError:
        closed = next(parent for parent in reversed(folder.parents) if not os.access(parent, os.X_OK))
        return f"{folder} cannot be reached: {closed} is closed to you", _take(closed)
    if existing == folder and not os.access(folder, os.R_OK | os.X_OK):
        return f"{folder} cannot be read", _take(folder)
    if writes and is_read_only(folder):
        fix = f"export {variable}=DIR with a folder on a disk that can be written to"
        return f"{folder} lies on a disk that is mounted read-only", fix
    if writes and not os.access(existing, os.W_OK | os.X_OK):
        if existing == folder:
            return f"{folder} cannot be written to", _take(folder)
        return f"{folder} cannot be made: {existing} cannot be written to", _make(folder)
    return None


def _take(folder: Path) -> str:
    return f'sudo chown -R "$USER" {shlex.quote(str(folder))}'


def _make(folder: Path) -> str:
    return f'sudo install -d -o "$USER" {shlex.quote(str(folder))}'
