"""What lies in a folder of downloads: files that are arriving, that stopped on the way, that nobody has taken yet."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgellm.files import os_errors
from edgellm.sources.download.locks import try_lock

__all__ = ["Download", "list_downloads", "remove_downloads", "remove_finished", "sweep_journals"]

_NAME = re.compile(r"([0-9a-f]{40}|[0-9a-f]{64})(\.part)?")


@dataclass(frozen=True)
class Download:
    """One file. ``size_bytes`` is what it takes on the disk; ``held``: a process is using it now."""

    path: Path
    key: str
    state: Literal["partial", "finished"]
    size_bytes: int
    held: bool


def list_downloads(folder: Path) -> list[Download]:
    """All downloads in ``folder``, none when there is no such folder. A running download is ``held``.

    A finished file is held while somebody has a lock (flock) on it. Journals and locks are counted with nothing.
    """
    with os_errors(f"read {folder}"):
        return list(_find(folder))


def remove_downloads(folder: Path, *, dry_run: bool = False, finished: bool = True) -> list[Download]:
    """Remove every download that is not held; returns them. With ``dry_run`` only says which.

    ``finished=False`` removes only what did not arrive whole.
    """
    removed = []
    for download in list_downloads(folder):
        if not finished and download.state == "finished":
            continue
        if not download.held and (dry_run or _remove(download)):
            removed.append(download)
    if not dry_run:
        with os_errors(f"clean {folder}"):
            sweep_journals(folder)
            for lock in folder.glob("*.lock"):
                _remove(Download(lock, lock.stem, "finished", 0, False))
    return removed


def remove_finished(path: Path) -> int:
    """Remove one finished file unless somebody holds it; returns the bytes, 0 when it stays or is not there."""
    with os_errors(f"look at {path}"):
        try:
            size_bytes = path.stat().st_size
        except FileNotFoundError:
            return 0
    return size_bytes if _remove(Download(path, path.name, "finished", size_bytes, False)) else 0


def sweep_journals(folder: Path) -> None:
    """Remove journals without a part file: a kill between the last two steps of a download leaves one."""
    for journal in folder.glob("*.journal"):
        if not journal.with_suffix(".part").exists():
            with suppress(FileNotFoundError):
                journal.unlink()


def _find(folder: Path) -> Iterator[Download]:
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        match = _NAME.fullmatch(path.name)
        if match is None or path.is_symlink() or not path.is_file():
            continue
        try:
            size_bytes = path.stat().st_blocks * 512
            held = _is_held(path)
        except FileNotFoundError:  # it was finished or taken meanwhile
            continue
        yield Download(path, match[1], "partial" if match[2] else "finished", size_bytes, held)


def _is_held(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        return not try_lock(descriptor)
    finally:
        os.close(descriptor)


def _remove(download: Download) -> bool:
    """Remove under the lock, so that a download that began meanwhile is not cut."""
    with os_errors(f"remove {download.path}"):
        try:
            descriptor = os.open(download.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        except FileNotFoundError:
            return False
        try:
            if not try_lock(descriptor):
                return False
            if download.state == "partial":
                with suppress(FileNotFoundError):
                    download.path.with_suffix(".journal").unlink()
            download.path.unlink()
        except FileNotFoundError:
            return False
        finally:
            os.close(descriptor)
    return True
