"""The heap of this process: what it takes of the memory, and a heap that holds much for nothing."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

__all__ = ["anonymous_bytes", "leave_holes"]

_BLOCK_BYTES = 64 << 10  # below the size from which glibc maps a block by itself


def anonymous_bytes() -> int:
    """Memory of this process that no file backs."""
    found = re.search(r"^Anonymous:\s+(\d+) kB", Path("/proc/self/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def leave_holes(size_bytes: int) -> int:
    """Fill ``size_bytes`` of the heap and free all of it but the last block, which keeps the heap from shrinking.

    Returns the address of that block.
    """
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = (
        ctypes.c_void_p,
        (ctypes.c_size_t,),
        (ctypes.c_void_p,),
    )
    blocks: list[int] = [libc.malloc(_BLOCK_BYTES) for _ in range(size_bytes // _BLOCK_BYTES)]
    for block in blocks:
        ctypes.memset(block, 1, _BLOCK_BYTES)
    last = blocks.pop()
    for block in blocks:
        libc.free(block)
    return last
