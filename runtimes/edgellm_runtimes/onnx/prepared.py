"""Weights in the layout of this machine's processor, saved once and mapped from then on.

A folder of the user's cache has one folder for each model, version of ONNX Runtime and set of CPU features. It may be
lost at any time. With it a model takes a tenth of the memory of its own (docs/benchmarks.md).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import platform
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from edgellm.bundle.staging import StagingFolder, remove_dead_staging
from edgellm.errors import EdgeLLMError
from edgellm.files import fsync_directory, tree_bytes
from edgellm.progress import CancelToken, Progress
from edgellm.units import format_bytes
from edgellm_runtimes.onnx.files import OnnxFiles
from edgellm_runtimes.onnx.library import library_version
from edgellm_runtimes.onnx.session import PREPARED_DATA, PREPARED_GRAPH, open_portable, open_prepared

__all__ = ["PreparedWeights", "list_prepared", "remove_prepared"]

_STAGING = ".new-"
_FACTS = "prepared.json"
_GROWTH = 3  # the saved weights take at most as many times the model's, whichever the processor
_LEFT_FREE_BYTES = 512 << 20
_MOST_BYTES = 16 << 30  # of all prepared weights
_MOST_OF_DISK = 0.1


class PreparedFacts(msgspec.Struct, frozen=True):
    """What one folder was made from."""

    weights: str  # sha256:... of the model's data, or where and what its file is
    library: str
    cpu: tuple[str, ...]
    size_bytes: int


class PreparedEntry(NamedTuple):
    """One model in the cache."""

    path: Path
    weights: str
    size_bytes: int
    last_used: float


class PreparedWeights:
    """Opens sessions of ``files``, from the cache in ``folder`` where they are there; saves them where they are not.

    What cannot be saved (the disk is full or may not be written to) is said, and the portable file is used.
    """

    def __init__(self, files: OnnxFiles, folder: Path | None, progress: Progress) -> None:
        self._files = files
        self._folder = folder
        self._progress = progress
        self._locks: list[int] = []
        self.in_use = False
        self._facts = PreparedFacts(_identity(files), library_version(), _cpu_features(), 0)
        self._entry = None if folder is None else folder / _key(files, self._facts)

    def open(self, threads: int, *, spin: bool) -> Any:
        """A session. Raises what loading the model raises."""
        if self._entry is None:
            return open_portable(self._files, threads, spin=spin)
        session = self._from_cache(threads, spin)
        if session is None:
            # What is kept under the digest of the weights must come of them, also when their blob is damaged.
            self._files.prove_data(CancelToken(), by_name=False)
            if self._save(threads):
                session = self._from_cache(threads, spin)
        self.in_use = session is not None
        return session if session is not None else open_portable(self._files, threads, spin=spin)

    def close(self) -> None:
        """Let go of the folder; gc may remove it now."""
        while self._locks:
            os.close(self._locks.pop())

    def _from_cache(self, threads: int, spin: bool) -> Any:
        assert self._entry is not None
        if not _is_whole(self._entry):
            return None
        self._hold()
        try:
            session = open_prepared(self._entry, threads, spin=spin)
        except EdgeLLMError:  # made by another build of the same version, or damaged
            self.close()
            shutil.rmtree(self._entry, ignore_errors=True)
            return None
        with contextlib.suppress(OSError):
            os.utime(self._entry)
        return session

    def _hold(self) -> None:
        """Other processes see that the entry is in use, and the folder: `gc --cache` removes it as a whole."""
        for path in (self._folder, self._entry) if not self._locks else ():
            assert path is not None
            with contextlib.suppress(OSError):
                self._locks.append(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
                fcntl.flock(self._locks[-1], fcntl.LOCK_SH | fcntl.LOCK_NB)

    def _save(self, threads: int) -> bool:
        """True when the folder is there. Saving takes the memory of the weights once, while it lasts."""
        assert self._folder is not None
        assert self._entry is not None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            remove_dead_staging(self._folder, _STAGING)
            needed = _GROWTH * self._files.size_bytes
            limit = _limit_bytes(self._folder)
            free = shutil.disk_usage(self._folder).free
            if needed > limit or free < needed + _LEFT_FREE_BYTES:
                self._progress.message(
                    f"no room for prepared weights ({format_bytes(needed)} in {self._folder}): "
                    "this model takes more memory and loads slower"
                )
                return False
            _make_room(self._folder, limit - needed)
            self._progress.message("preparing the weights for this processor, once")
            self._write(threads)
        except (OSError, EdgeLLMError) as error:
            self._progress.message(f"the prepared weights cannot be kept in {self._folder}: {error}")
            return _is_whole(self._entry)
        return True

    def _write(self, threads: int) -> None:
        assert self._folder is not None
        assert self._entry is not None
        staging = StagingFolder(self._folder, _STAGING)
        try:
            open_portable(self._files, threads, spin=True, save_to=staging.path)
            for name in (PREPARED_GRAPH, PREPARED_DATA):
                with (staging.path / name).open("rb") as file:
                    os.fsync(file.fileno())
            facts = msgspec.structs.replace(self._facts, size_bytes=(staging.path / PREPARED_DATA).stat().st_size)
            (staging.path / _FACTS).write_bytes(msgspec.json.encode(facts))
            fsync_directory(staging.path)
            if not _is_whole(self._entry):
                shutil.rmtree(self._entry, ignore_errors=True)
            try:
                staging.path.rename(self._entry)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):  # else another process was quicker
                    raise
            fsync_directory(self._folder)
        finally:
            staging.close()


def list_prepared(folder: Path) -> list[PreparedEntry]:
    """What is in the cache, last used first."""
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name.startswith(".") or not path.is_dir():
            continue
        with contextlib.suppress(OSError):
            facts = _read_facts(path)
            weights = "" if facts is None else facts.weights
            found.append(PreparedEntry(path, weights, tree_bytes(path), path.stat().st_mtime))
    return sorted(found, key=lambda entry: -entry.last_used)


def remove_prepared(folder: Path, keep: Collection[str] = (), *, dry_run: bool = False) -> int:
    """Remove what was prepared from other weights than ``keep`` (sha256:...) and is not in use; returns the bytes."""
    freed = 0
    for entry in list_prepared(folder):
        if entry.weights in keep:
            continue
        with _unused(entry.path) as free:
            if free:
                freed += entry.size_bytes
                if not dry_run:
                    shutil.rmtree(entry.path, ignore_errors=True)
    return freed


def _make_room(folder: Path, most_bytes: int) -> None:
    """Remove what was used longest ago until the rest takes ``most_bytes``."""
    total = 0
    for entry in list_prepared(folder):
        total += entry.size_bytes
        if total > most_bytes:
            with _unused(entry.path) as free:
                if free:
                    shutil.rmtree(entry.path, ignore_errors=True)


@contextlib.contextmanager
def _unused(path: Path) -> Iterator[bool]:
    """Whether nobody has ``path`` in use; while the block runs nobody can."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)


def _limit_bytes(folder: Path) -> int:
    return min(_MOST_BYTES, int(_MOST_OF_DISK * shutil.disk_usage(folder).total))


def _is_whole(path: Path) -> bool:
    facts = _read_facts(path)
    try:
        return facts is not None and (path / PREPARED_DATA).stat().st_size == facts.size_bytes
    except OSError:
        return False


def _read_facts(path: Path) -> PreparedFacts | None:
    try:
        return msgspec.json.decode((path / _FACTS).read_bytes(), type=PreparedFacts)
    except (OSError, msgspec.MsgspecError):
        return None


def _identity(files: OnnxFiles) -> str:
    """What the weights are: their digest where they are called by it, else their file as it is now."""
    path = files.data or files.path
    if path.parent.name == "sha256":
        return f"sha256:{path.name}"
    status = path.stat()
    return f"{path.absolute()} {status.st_ino} {status.st_size} {status.st_mtime_ns}"


def _key(files: OnnxFiles, facts: PreparedFacts) -> str:
    digest = hashlib.sha256(files.graph_bytes)
    digest.update(msgspec.json.encode([facts.weights, facts.library, platform.machine(), facts.cpu]))
    return digest.hexdigest()[:32]


def _cpu_features() -> tuple[str, ...]:
    from edgellm_runtimes._native import cpu_features

    return tuple(cpu_features())
