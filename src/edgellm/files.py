"""Durable file operations: what is written survives a power cut, or was never there."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from edgellm.errors import AccessError, EdgeLLMError, NoSpaceError, NotFoundError, UsageError
from edgellm.units import format_bytes

__all__ = [
    "existing_parent",
    "fsync_directory",
    "os_errors",
    "read_small_file",
    "require_free_space",
    "sync_data",
    "tree_bytes",
    "write_atomic",
]


def fsync_directory(folder: Path) -> None:
    """Make a rename or a new entry in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_data(descriptor: int) -> None:
    """Return when the written bytes of an open file are on the disk; macOS has no fdatasync."""
    getattr(os, "fdatasync", os.fsync)(descriptor)


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace ``path`` with ``data``: afterwards either the old or the new content is there, never a part.

    Temporary file beside the target, fsync, rename, fsync of the folder.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    fsync_directory(path.parent)


def read_small_file(path: Path, limit_bytes: int, what: str) -> bytes:
    """The bytes of a regular file of at most ``limit_bytes``; a pipe or a device is refused and never waited for.

    Raises UsageError, NotFoundError, AccessError.
    """
    with os_errors(f"read {what} {path}"):
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0))
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise UsageError(f"{what} {path} is not a regular file")
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read(limit_bytes + 1)
        finally:
            os.close(descriptor)
    if len(data) > limit_bytes:
        raise UsageError(f"{what} {path} is larger than {format_bytes(limit_bytes)}")
    return data


def existing_parent(path: Path) -> Path:
    """``path`` itself when it exists, else the nearest folder above it that does."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def tree_bytes(path: Path) -> int:
    """Bytes of a file, or of all files below a folder, without holes; links are not followed, what vanishes is 0."""
    with contextlib.suppress(FileNotFoundError):
        if path.is_symlink() or not path.is_dir():
            return _bytes_without_holes(path.lstat())
    total = 0
    for folder, _folders, names in os.walk(path):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                status = os.lstat(os.path.join(folder, name))  # noqa: PTH118 - three times as fast
                total += _bytes_without_holes(status)
    return total


def _bytes_without_holes(status: os.stat_result) -> int:
    """A file of which only the header was fetched has its full size, and takes a few blocks of 512 bytes."""
    return min(status.st_size, status.st_blocks * 512)


_FREE_SOME = "free some space: `edgellm df` shows what edgellm keeps and which command removes it"


def require_free_space(folder: Path, needed_bytes: int, what: str, *, elsewhere: str = "") -> None:
    """Raise NoSpaceError when the disk under ``folder`` has less than ``needed_bytes`` free.

    ``folder`` may not exist yet: its nearest existing parent is asked, and named in the message. ``elsewhere``: how
    the user chooses another place.
    """
    existing = existing_parent(folder)
    free_bytes = shutil.disk_usage(existing).free
    if free_bytes < needed_bytes:
        raise NoSpaceError(
            f"{what} needs {format_bytes(needed_bytes)} of disk, {existing} has {format_bytes(free_bytes)} free",
            hint=f"{_FREE_SOME}; or {elsewhere or 'let EDGELLM_HOME name a folder on another disk'}",
        )


@contextlib.contextmanager
def os_errors(what: str) -> Iterator[None]:
    """Turn an OSError inside the block into an error of our tree. ``what`` completes "cannot ..."."""
    try:
        yield
    except OSError as error:
        raise translate_os_error(error, what) from error


def translate_os_error(error: OSError, what: str) -> EdgeLLMError:
    """The error of our tree for ``error``; ``what`` completes "cannot ..."."""
    reason = error.strerror or str(error)
    where = f" ({error.filename})" if error.filename else ""
    message = f"cannot {what}: {reason}{where}"
    if error.errno == errno.EPIPE:
        return EdgeLLMError(f"cannot {what}: the program that reads it has ended", hint="its own message says why")
    if error.errno == errno.EFBIG:
        return NoSpaceError(
            message, hint="files this large need another file system (FAT ends at 4 GiB) or a higher limit (ulimit -f)"
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        # The file that was being written may be one that no user has heard of: ``what`` names the thing.
        return NoSpaceError(f"cannot {what}: {reason}", hint=_FREE_SOME)
    if error.errno == errno.EROFS:
        return AccessError(
            message, hint="this disk is mounted read-only: choose another place (EDGELLM_HOME, --output)"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return AccessError(message, hint="check the owner and the permissions, or choose another place")
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return NotFoundError(message)
    return EdgeLLMError(message)
