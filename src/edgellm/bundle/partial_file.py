"""A file that grows beside its target and takes its place when it is whole."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from pathlib import Path

from edgellm.bundle.staging import glob_escape
from edgellm.errors import UsageError
from edgellm.files import fsync_directory, os_errors

__all__ = ["PartialFile"]


class PartialFile:
    """A temporary file, locked while its writer lives; those of dead writers of the same target are removed.

    ``fd`` is open for reading and writing, -1 once the file has been published or given up. Raises UsageError when the
    target is there and is no regular file.
    """

    def __init__(self, target: Path, what: str) -> None:
        self.target = target.absolute()
        self._what = what  # completes "cannot ..." in errors
        if self.target.is_symlink() or (self.target.exists() and not self.target.is_file()):
            raise UsageError(f"{target} exists and is not a regular file", hint="give another place")
        self._remove_dead()
        with os_errors(what):
            self.target.parent.mkdir(parents=True, exist_ok=True)
            while True:
                self.path = self.target.with_name(f".{self.target.name}.partial-{secrets.token_hex(8)}")
                self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
                fcntl.flock(self.fd, fcntl.LOCK_EX)
                if os.fstat(self.fd).st_nlink > 0:
                    break
                os.close(self.fd)  # another writer took it for garbage before it was locked

    def publish(self) -> None:
        """Make it durable and rename it to the target, in place of what is there."""
        with os_errors(self._what):
            os.fsync(self.fd)
            self.path.replace(self.target)
            os.close(self.fd)
            self.fd = -1
            fsync_directory(self.target.parent)

    def close(self) -> None:
        """Remove it unless it was published. Safe to call twice."""
        if self.fd >= 0:
            with contextlib.suppress(OSError):
                self.path.unlink()
            os.close(self.fd)
            self.fd = -1

    def _remove_dead(self) -> None:
        for path in self.target.parent.glob(f".{glob_escape(self.target.name)}.partial-*"):
            with contextlib.suppress(OSError):
                file_descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
                try:
                    fcntl.flock(file_descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
                finally:
                    os.close(file_descriptor)
