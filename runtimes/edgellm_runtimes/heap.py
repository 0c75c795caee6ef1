"""Memory that this process has freed and still holds."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable

__all__ = ["trim_heap"]


def trim_heap() -> None:
    """Give the pages of the heap that hold nothing back to the kernel. Takes milliseconds.

    The C library keeps what a model's vocabulary and buffers were made of, in a heap for each thread: after a few
    loads that is as much as a small model. Does nothing where the C library has no such call.
    """
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@functools.cache
def _malloc_trim() -> Callable[[int], int] | None:
    function = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if function is not None:
        function.argtypes, function.restype = (ctypes.c_size_t,), ctypes.c_int
    return function
