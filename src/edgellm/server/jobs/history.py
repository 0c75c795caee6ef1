"""The jobs of a store's user on the disk: one file each, replaced as a whole, so that a crash loses none."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from pathlib import Path

import msgspec

from edgellm.api.jobs import Job
from edgellm.errors import BusyError, EdgeLLMError
from edgellm.files import os_errors, read_small_file, write_atomic

__all__ = ["JobHistory"]

_NAME = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")
_LIMIT_BYTES = 16 << 20
_KEPT = 200


class JobHistory:
    """A folder of jobs. One server at a time may change it: ``own`` takes the lock, ``close`` lets go."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = -1

    @property
    def is_own(self) -> bool:
        """True while this server may change it."""
        return self._lock >= 0

    def own(self) -> None:
        """Take the lock. Raises BusyError while another server has it."""
        if self.is_own:
            return
        with os_errors(f"write {self.folder}"):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise BusyError(
                "another server of this user runs the jobs",
                hint="ask that one, or stop it: `edgellm ps` shows where it listens",
            ) from error
        self._lock = descriptor

    def close(self) -> None:
        """Let go of the lock."""
        if self.is_own:
            os.close(self._lock)
            self._lock = -1

    def load(self) -> dict[str, Job]:
        """All jobs by id, the oldest first. A file that cannot be read is passed over."""
        found = {}
        for path in sorted(self.folder.glob("*.json")) if self.folder.is_dir() else ():
            if _NAME.fullmatch(path.stem):
                with contextlib.suppress(EdgeLLMError, msgspec.MsgspecError):
                    found[path.stem] = msgspec.json.decode(read_small_file(path, _LIMIT_BYTES, "the job"), type=Job)
        return found

    def save(self, job: Job) -> None:
        """Keep ``job`` as it is now. Raises NoSpaceError, AccessError."""
        with os_errors(f"write {self.folder}"):
            write_atomic(self.folder / f"{job.id}.json", msgspec.json.encode(job), mode=0o600)

    def remove(self, job: Job) -> None:
        """Forget ``job`` with all that belongs to it."""
        with contextlib.suppress(FileNotFoundError), os_errors(f"write {self.folder}"):
            (self.folder / f"{job.id}.json").unlink()
        self.remove_files(job)

    def remove_files(self, job: Job) -> None:
        """Remove what belongs to ``job`` but its state."""
        shutil.rmtree(self.files_of(job), ignore_errors=True)

    def files_of(self, job: Job) -> Path:
        """The folder for what belongs to ``job``: texts that it reads, an archive that it wrote."""
        return self.folder / job.id

    def outdated(self, jobs: dict[str, Job]) -> list[Job]:
        """The oldest of ``jobs`` that have ended, beyond the number that is kept."""
        ended = [job for job in jobs.values() if job.has_ended]
        return ended[: max(0, len(ended) - _KEPT)]
