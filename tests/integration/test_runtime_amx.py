"""ggml is kept from AMX, and nobody sees it."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

CHILD = """
import ctypes
from edgellm_runtimes.llama_cpp.library import library
library()
permitted = ctypes.c_ulong()
ctypes.CDLL(None).syscall(158, 0x1022, ctypes.byref(permitted))  # arch_prctl(ARCH_GET_XCOMP_PERM)
print(permitted.value >> 18 & 1)  # XFEATURE_XTILEDATA
"""


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="AMX is a feature of x86-64 processors"
)
def test_the_process_has_no_amx_and_says_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "0\n"
    assert done.stderr == ""
