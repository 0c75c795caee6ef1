"""Names of models that stay loaded, remembered over restarts."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgellm.errors import UsageError
from edgellm.files import os_errors, read_small_file, write_atomic

__all__ = ["Pins"]

_LIMIT_BYTES = 1 << 20


class Pins:
    """Full names in a file of the state folder. A damaged file is an error when it is read, not an empty one."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._names: frozenset[str] = frozenset(_read(file))

    def __contains__(self, name: str) -> bool:
        return name in self._names

    @property
    def names(self) -> list[str]:
        """All of them, in order."""
        return sorted(self._names)

    def set(self, name: str, pinned: bool) -> None:
        """Pin ``name``, or let go of it. Blocks; raises NoSpaceError, AccessError, and then nothing has changed."""
        names = self._names | {name} if pinned else self._names - {name}
        if names == self._names:
            return
        with os_errors(f"write {self._file}"):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self._file, msgspec.json.encode(sorted(names)))
        self._names = names


def _read(file: Path) -> list[str]:
    if not file.exists():
        return []
    try:
        return msgspec.json.decode(read_small_file(file, _LIMIT_BYTES, "the list of pinned models"), type=list[str])
    except msgspec.DecodeError as error:
        raise UsageError(
            f"{file} is not a list of names: {error}", hint="remove the file, and pin the models again"
        ) from error
