"""A small file in the store that only takes up space: where the disk is full, removing a bundle lives on it.

Taking a name out of the index needs room for the new index beside the old one. The reserve makes that room; its bytes
are random, so that no file system can keep them for nothing.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from edgellm.files import fsync_directory, sync_data

__all__ = ["RESERVE_FILE", "give_up_reserve", "keep_reserve"]

RESERVE_FILE = ".reserve"
_LEAST_BYTES = 64 << 10  # more than a new file and its folder's entry take on any usual file system


def keep_reserve(root: Path, index_bytes: int) -> None:
    """Make the reserve, or fit it to an index of ``index_bytes``; the caller holds the store's lock.

    Without room for all of it there is less, or none: that is no error, and the next change of the store tries again.
    """
    wanted_bytes = _LEAST_BYTES
    while wanted_bytes < 2 * index_bytes:
        wanted_bytes *= 2
    with contextlib.suppress(OSError), (root / RESERVE_FILE).open("ab", buffering=0) as file:
        size_bytes = file.tell()
        if size_bytes > wanted_bytes:
            file.truncate(wanted_bytes)
        elif size_bytes < wanted_bytes:
            file.write(os.urandom(wanted_bytes - size_bytes))
            sync_data(file.fileno())


def give_up_reserve(root: Path) -> bool:
    """Return its space to the disk; False when there is no reserve. Raises OSError."""
    path = root / RESERVE_FILE
    if not path.exists():
        return False
    path.unlink()
    fsync_directory(root)  # some file systems hand out freed space only when the removal is on the disk
    return True
