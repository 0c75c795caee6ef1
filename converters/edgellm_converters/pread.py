"""Reading at an offset, from any thread, without mapping the file: its pages never count towards this process."""

from __future__ import annotations

import os

__all__ = ["read_at"]


def read_at(descriptor: int, offset_bytes: int, buffer: memoryview) -> int:
    """Fill ``buffer`` from ``offset_bytes`` on; returns the bytes read, fewer only at the end of the file.

    Raises OSError.
    """
    done = 0
    while done < len(buffer):
        if hasattr(os, "preadv"):
            count = os.preadv(descriptor, [buffer[done:]], offset_bytes + done)
        else:  # macOS and others without it
            data = os.pread(descriptor, len(buffer) - done, offset_bytes + done)
            count = len(data)
            buffer[done : done + count] = data
        if count == 0:
            break
        done += count
    return done
