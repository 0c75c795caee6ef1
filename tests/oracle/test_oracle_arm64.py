"""Our compiled modules, cross-built by CMake for 64-bit ARM, imported and called by a real ARM Python under qemu."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from oracle_tools import arm_python

from edgellm_converters import _quantize

pytestmark = pytest.mark.oracle
REPOSITORY = Path(__file__).resolve().parents[2]
TRIPLE = "aarch64-linux-gnu"
N_BLOCKS = 64

PROBE = """
import array, ctypes, hashlib, json, platform, struct, sys
sys.path.insert(0, sys.argv[1])
from edgellm_converters import _quantize
from edgellm_runtimes import _native
values = array.array("f")
values.frombytes(sys.stdin.buffer.read())
blocks = {"Q4_K": 144, "Q5_K": 176, "Q6_K": 210}
found = {"machine": platform.machine(), "features": _native.cpu_features(), "kernels": _quantize.kernel_names()}
for name, size in blocks.items():
    n = len(values) // 256
    out, left = bytearray(n * size), bytearray(n)
    missed = _quantize.quantize("baseline", name, values, out, left)
    found[name] = [missed, hashlib.sha256(out).hexdigest()]
flag = _native.AbortFlag()
read = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p)(flag.callback)
found["flag"] = [read(flag.data), flag.set(), read(flag.data)]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the ARM builds of all our compiled modules."""
    root, compiler, cmake, ninja = (
        arm_python(),
        shutil.which(f"{TRIPLE}-g++"),
        shutil.which("cmake"),
        shutil.which("ninja"),
    )
    missing = [
        name
        for name, found in (
            ("an ARM Python", root.is_dir()),
            (f"{TRIPLE}-g++", compiler),
            ("cmake", cmake),
            ("ninja", ninja),
        )
        if not found
    ]
    if missing or sys.version_info[:2] != (3, 11):
        pytest.skip(f"needs {', '.join(missing) or 'Python 3.11, like the ARM one'}")
    nanobind = pytest.importorskip("nanobind")
    folder = tmp_path_factory.mktemp("arm64")
    toolchain = folder / "toolchain.cmake"
    toolchain.write_text(
        f"set(CMAKE_SYSTEM_NAME Linux)\nset(CMAKE_SYSTEM_PROCESSOR aarch64)\nset(CMAKE_CXX_COMPILER {compiler})\n"
    )
    values = {
        "CMAKE_TOOLCHAIN_FILE": toolchain,
        "CMAKE_CXX_FLAGS": f"-I{root}/usr/include",
        "nanobind_DIR": nanobind.cmake_dir(),
        "Python_EXECUTABLE": sys.executable,
        "Python_INCLUDE_DIR": root / "usr" / "include" / "python3.11",
    }
    build = folder / "build"
    run([cmake, "-G", "Ninja", "-S", REPOSITORY, "-B", build, *(f"-D{name}={value}" for name, value in values.items())])
    run([cmake, "--build", build])
    site = folder / "site"
    for module in build.glob("_*.so"):
        name = module.name.partition(".")[0]
        package = site / ("edgellm_converters" if name == "_quantize" else "edgellm_runtimes")
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").touch()
        shutil.copyfile(module, package / f"{name}.cpython-311-{TRIPLE}.so")
    return site


def run(command: list[object], **options: object) -> bytes:
    done = subprocess.run([str(word) for word in command], capture_output=True, check=False, timeout=600, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")[-3000:]
    return bytes(done.stdout)


def on_arm(site: Path, program: str, stdin: bytes) -> object:
    """What ``program`` prints as JSON on an ARM Python."""
    emulator = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
    if emulator is None:
        pytest.skip("needs qemu-aarch64")
    root = arm_python()
    libraries = ":".join(f"{root}/{folder}/{TRIPLE}" for folder in ("lib", "usr/lib")) + f":/usr/{TRIPLE}/lib"
    variables = ["-E", f"LD_LIBRARY_PATH={libraries}", "-E", f"PYTHONHOME={root}/usr"]
    output = run([emulator, "-L", root, *variables, root / "usr/bin/python3.11", "-c", program, site], input=stdin)
    return json.loads(output)


def test_the_modules_work_on_an_arm_python(packages: Path) -> None:
    values = np.random.default_rng(5).normal(0, 0.02, N_BLOCKS * 256).astype(np.float32)
    found = on_arm(packages, PROBE, values.tobytes())
    assert isinstance(found, dict)
    assert found["machine"] == "aarch64"
    assert "asimd" in found["features"]
    assert found["kernels"] == ["baseline"]
    assert found["flag"] == [False, None, True]
    for name, size in (("Q4_K", 144), ("Q5_K", 176), ("Q6_K", 210)):
        blocks, left = np.zeros(N_BLOCKS * size, np.uint8), np.zeros(N_BLOCKS, np.uint8)
        missed = _quantize.quantize(_quantize.kernel_names()[0], name, values, blocks, left)
        assert found[name] == [missed, hashlib.sha256(blocks.tobytes()).hexdigest()], name
