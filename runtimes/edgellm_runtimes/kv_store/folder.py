"""The folder of saved prefixes, whatever model they belong to: what is there, what goes, how much fits."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

from edgellm.errors import IntegrityError
from edgellm.files import os_errors
from edgellm_runtimes.kv_store.entry import StoredPrefix
from edgellm_runtimes.kv_store.entry_file import open_entry, read_meta
from edgellm_runtimes.kv_store.key import model_name
from edgellm_runtimes.kv_store.lock import open_folder, prefix_lock

__all__ = ["TEMPORARY_SUFFIX", "CachedFile", "PrefixFolder", "Removed", "cached_files", "make_room", "remove_leftovers"]

ENTRY_SUFFIX = ".kv"
TEMPORARY_SUFFIX = ".tmp"
_CHAT_SUFFIX = ".chat.kv"


class CachedFile(NamedTuple):
    """A file of the cache as the folder shows it."""

    name: str
    size_bytes: int
    last_used: float
    inode: int


class Removed(msgspec.Struct, frozen=True):
    """What was removed."""

    entries: int
    size_bytes: int


class PrefixFolder:
    """Looking at and removing saved prefixes. A folder that is not there is an empty one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def list(self) -> tuple[list[StoredPrefix], list[CachedFile]]:
        """The prefixes, last used first, and the files that are damaged. Raises AccessError."""
        whole, damaged = [], []
        if not self.path.is_dir():
            return [], []
        with os_errors(f"look into {self.path}"), open_folder(self.path) as descriptor:
            for file in cached_files(descriptor):
                try:
                    whole.append(read_prefix(descriptor, file.name))
                except FileNotFoundError:
                    continue
                except (IntegrityError, OSError):
                    damaged.append(file)
        return sorted(whole, key=lambda prefix: -prefix.last_used), damaged

    def remove_model(self, model: str) -> Removed:
        """Remove what was saved for the model file ``model`` (sha256:...). Raises AccessError, BusyError."""
        return self._remove(lambda file: file.name.startswith(model_name(model)))

    def remove_models(self, models: Iterable[str]) -> Removed:
        """``remove_model`` for each of them."""
        removed = [self.remove_model(model) for model in models]
        return Removed(sum(each.entries for each in removed), sum(each.size_bytes for each in removed))

    def clear(self) -> Removed:
        """Remove all prefixes, and what killed processes left. Raises AccessError, BusyError."""
        return self._remove(lambda _file: True)

    def _remove(self, chosen: Callable[[CachedFile], bool]) -> Removed:
        if not self.path.is_dir():
            return Removed(0, 0)
        with prefix_lock(self.path) as descriptor, os_errors(f"remove saved prefixes from {self.path}"):
            remove_leftovers(descriptor)
            gone = [file for file in cached_files(descriptor) if chosen(file)]
            for file in gone:
                os.unlink(file.name, dir_fd=descriptor)
            if gone:
                os.fsync(descriptor)
        return Removed(len(gone), sum(file.size_bytes for file in gone))


def read_prefix(descriptor: int, name: str) -> StoredPrefix:
    """The prefix in the file ``name``; its state is not read. Raises IntegrityError, OSError."""
    file = open_entry(descriptor, name)
    try:
        return read_meta(file, name).prefix
    finally:
        os.close(file)


def cached_files(descriptor: int, beginning: str = "") -> list[CachedFile]:
    """The files in the open folder that are named as prefixes are."""
    found = []
    for name in os.listdir(descriptor):
        if name.endswith(ENTRY_SUFFIX) and name.startswith(beginning) and not name.startswith("."):
            with contextlib.suppress(FileNotFoundError):
                facts = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                if stat.S_ISDIR(facts.st_mode):
                    continue
                found.append(CachedFile(name, facts.st_size, facts.st_mtime, facts.st_ino))
    return found


def make_room(descriptor: int, size_bytes: int, byte_cap: int) -> None:
    """Remove prefixes until ``size_bytes`` more stay within ``byte_cap``. For the holder of the lock. Raises OSError.

    The longest unused go first, conversations before system prompts: these come back with the next start of their
    model, and cost a prefill of the same tokens each time.
    """
    files = cached_files(descriptor)
    total = sum(file.size_bytes for file in files)
    for file in sorted(files, key=lambda file: (not file.name.endswith(_CHAT_SUFFIX), file.last_used)):
        if total + size_bytes <= byte_cap:
            return
        with contextlib.suppress(FileNotFoundError):
            os.unlink(file.name, dir_fd=descriptor)
        total -= file.size_bytes


def remove_leftovers(descriptor: int) -> None:
    """Remove the temporary files of processes that were killed. For the holder of the lock."""
    for name in os.listdir(descriptor):
        if not (name.startswith(".") and name.endswith(TEMPORARY_SUFFIX)):
            continue
        with contextlib.suppress(OSError):  # gone, or not for this user
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=descriptor)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a running writer holds it
                os.unlink(name, dir_fd=descriptor)
            finally:
                os.close(file)
