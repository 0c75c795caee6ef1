"""Keeps ggml from using Intel's AMX: its ordinary repacked kernels run instead.

GCC before 11.5, 12.4, 13.3 and 14 compiles ggml's tile setup wrongly (GCC bug 114098: the stores to the tile
configuration are dropped), so on a processor with AMX the first matrix product ends the process. Which compiler built
the installed library cannot be asked, and AMX is in no processor for small devices.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import sys
from collections.abc import Iterator
from typing import Any

__all__ = ["leave_out_amx"]

_CPU_DEVICE = 0  # enum ggml_backend_dev_type
_SMALLEST_STACK_BYTES = 4096  # above MINSIGSTKSZ, below the 11 kB that a signal frame with AMX state takes


class _AlternateStack(ctypes.Structure):
    """stack_t of <signal.h>."""

    _fields_ = [("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size_bytes", ctypes.c_size_t)]


def leave_out_amx(lib: Any) -> None:
    """Let ggml choose its CPU buffer types, once and for this process, while the kernel refuses AMX.

    ``lib`` is the loaded CDLL. Linux gives a process AMX only if the signal stacks of its threads can hold the larger
    frames (arch/x86/kernel/fpu/xstate.c), so this thread has a small one meanwhile.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return
    with _small_signal_stack(), _without_stderr():  # ggml says on stderr that AMX is not there
        _choose_buffer_types(lib)


def _choose_buffer_types(lib: Any) -> None:
    pointer = ctypes.c_void_p
    for name in ("ggml_backend_dev_by_type", "ggml_backend_dev_backend_reg", "ggml_backend_reg_get_proc_address"):
        getattr(lib, name).restype = pointer
    device = lib.ggml_backend_dev_by_type(ctypes.c_int(_CPU_DEVICE))
    if not device:
        return
    registry = lib.ggml_backend_dev_backend_reg(pointer(device))
    address = lib.ggml_backend_reg_get_proc_address(pointer(registry), b"ggml_backend_dev_get_extra_bufts")
    if address:
        ctypes.CFUNCTYPE(pointer, pointer)(address)(device)


@contextlib.contextmanager
def _small_signal_stack() -> Iterator[None]:
    libc = ctypes.CDLL(None)
    memory = ctypes.create_string_buffer(_SMALLEST_STACK_BYTES)
    before = _AlternateStack()
    small = _AlternateStack(ctypes.addressof(memory), 0, _SMALLEST_STACK_BYTES)
    libc.sigaltstack(ctypes.byref(small), ctypes.byref(before))
    try:
        yield
    finally:
        libc.sigaltstack(ctypes.byref(before), None)


@contextlib.contextmanager
def _without_stderr() -> Iterator[None]:
    kept = os.dup(2) if _is_open(2) else None
    if kept is None:
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
