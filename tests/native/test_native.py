import ctypes
import platform
from pathlib import Path

import numpy as np
import pytest

from edgellm_converters import _quantize
from edgellm_runtimes import _native


@pytest.mark.skipif(platform.system() != "Linux", reason="reads /proc/cpuinfo")
def test_cpu_features_are_those_of_the_kernel() -> None:
    listed = set(Path("/proc/cpuinfo").read_text().split())
    assert set(_native.cpu_features()) <= listed


def test_abort_flag_is_read_by_native_code() -> None:
    flag = _native.AbortFlag()
    callback = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p)(flag.callback)
    assert callback(flag.data) is False
    flag.set()
    assert callback(flag.data) is True
    flag.clear()
    assert callback(flag.data) is False


def test_bandwidth_is_measured_and_nonsense_refused() -> None:
    read_gb_s, copy_gb_s = _native.memory_bandwidth(size_bytes=4 << 20, threads=2, repeats=2)
    assert 0.01 < read_gb_s < 1e5
    assert 0.01 < copy_gb_s < 1e5
    with pytest.raises(ValueError, match="threads"):
        _native.memory_bandwidth(size_bytes=4 << 20, threads=0, repeats=1)
    with pytest.raises(ValueError, match="page"):
        _native.memory_bandwidth(size_bytes=100, threads=1, repeats=1)


def test_values_at_an_odd_address_are_refused() -> None:
    values = np.frombuffer(bytes(1 + 4 * 256), np.float32, offset=1)
    with pytest.raises(ValueError, match="not aligned"):
        _quantize.quantize("baseline", "Q4_K", values, np.zeros(144, np.uint8), np.zeros(1, np.uint8))
