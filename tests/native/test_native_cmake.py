"""CMakeLists.txt configured for other processors: it takes none of the x86 kernels there, and all of them on x86."""

from __future__ import annotations

import json
import os
import shutil
import sys
import sysconfig
from pathlib import Path

import pytest
from native_build import REPOSITORY, kernel_sources, require_compiler, run


def quantize_commands(compiler: str, folder: Path, processor: str) -> dict[str, list[str]]:
    """Source of the module _quantize -> words of its compile command; `processor` is what CMake is told."""
    cmake, ninja = shutil.which("cmake"), shutil.which("ninja")
    if cmake is None or ninja is None:
        pytest.skip("needs cmake and ninja")
    nanobind = pytest.importorskip("nanobind", reason="needs nanobind's CMake files")
    toolchain = folder / "toolchain.cmake"
    toolchain.write_text(
        f"set(CMAKE_SYSTEM_NAME Linux)\nset(CMAKE_SYSTEM_PROCESSOR {processor})\nset(CMAKE_CXX_COMPILER {compiler})\n"
    )
    values = {
        "CMAKE_TOOLCHAIN_FILE": toolchain,
        "CMAKE_EXPORT_COMPILE_COMMANDS": "ON",
        "nanobind_DIR": nanobind.cmake_dir(),
        "Python_EXECUTABLE": sys.executable,
        "Python_INCLUDE_DIR": sysconfig.get_path("include"),
    }
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        pytest.skip("needs Python's headers")
    build = folder / "build"
    run([cmake, "-G", "Ninja", "-S", REPOSITORY, "-B", build, *(f"-D{name}={value}" for name, value in values.items())])
    commands = json.loads((build / "compile_commands.json").read_text())
    return {
        Path(entry["file"]).name: entry["command"].split()
        for entry in commands
        if f"converters{os.sep}edgellm_converters" in entry["file"]
    }


@pytest.mark.parametrize("processor", ["its own", "x86_64"])
@pytest.mark.parametrize("name", ["aarch64-linux-gnu-g++", "riscv64-linux-gnu-g++"])
def test_no_x86_kernel_goes_to_another_processor(name: str, processor: str, tmp_path: Path) -> None:
    # A wrong CMAKE_SYSTEM_PROCESSOR is what a macOS build for the other architecture has.
    told = name.split("-")[0] if processor == "its own" else processor
    commands = quantize_commands(require_compiler(name), tmp_path, told)
    assert sorted(commands) == ["kernels_baseline.cpp", "module.cpp"]
    for words in commands.values():
        assert not [word for word in words if word.startswith("-m") or "X86" in word]
    assert "-ffp-contract=off" in commands["kernels_baseline.cpp"]


def test_x86_has_every_kernel_without_contraction(tmp_path: Path) -> None:
    compiler = require_compiler("g++")
    kernels = kernel_sources(compiler)
    if len(kernels) == 1:
        pytest.skip("the compiler does not build for x86-64")
    commands = quantize_commands(compiler, tmp_path, "unknown")
    assert sorted(commands) == sorted(["module.cpp", *(source.name for source, _ in kernels)])
    assert all("-DEDGELLM_X86_KERNELS" in words for words in commands.values())
    for source, flags in kernels:
        assert "-ffp-contract=off" in flags
        assert set(flags) <= set(commands[source.name])
