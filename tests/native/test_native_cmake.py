"""CMakeLists.txt configured for other processors: it takes none of the x86 kernels there, and all of them on x86."""

from __future__ import annotations

import json
import shutil
import sys
import sysconfig
from pathlib import Path

import pytest
from native_build import CONVERTERS, REPOSITORY, kernel_sources, require_compiler, run
from sampling_build import SAMPLING, module_sources

KERNEL_FOLDERS = [CONVERTERS, SAMPLING]


def compile_commands(compiler: str, folder: Path, processor: str) -> dict[Path, list[str]]:
    """Source of a module that has kernels -> words of its compile command; `processor` is what CMake is told."""
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
    found = {Path(entry["file"]).resolve(): entry["command"].split() for entry in commands}
    return {path: words for path, words in found.items() if path.parent in KERNEL_FOLDERS}


@pytest.mark.parametrize("processor", ["its own", "x86_64"])
@pytest.mark.parametrize("name", ["aarch64-linux-gnu-g++", "riscv64-linux-gnu-g++"])
def test_no_x86_kernel_goes_to_another_processor(name: str, processor: str, tmp_path: Path) -> None:
    # A wrong CMAKE_SYSTEM_PROCESSOR is what a macOS build for the other architecture has.
    told = name.split("-")[0] if processor == "its own" else processor
    commands = compile_commands(require_compiler(name), tmp_path, told)
    for folder in KERNEL_FOLDERS:
        kernels = {path.name for path in commands if path.parent == folder and path.name.startswith("kernels_")}
        assert kernels == {"kernels_baseline.cpp"}
        assert "-ffp-contract=off" in commands[folder / "kernels_baseline.cpp"]
    for words in commands.values():
        assert not [word for word in words if word.startswith("-m") or "X86" in word]


def test_x86_has_every_kernel_without_contraction(tmp_path: Path) -> None:
    compiler = require_compiler("g++")
    sources = [*kernel_sources(compiler), *module_sources(compiler)]
    if CONVERTERS / "kernels_avx2.cpp" not in dict(sources):
        pytest.skip("the compiler does not build for x86-64")
    commands = compile_commands(compiler, tmp_path, "unknown")
    assert commands.keys() == {folder / "module.cpp" for folder in KERNEL_FOLDERS} | dict(sources).keys()
    assert all("-DEDGELLM_X86_KERNELS" in words for words in commands.values())
    for source, flags in sources:
        assert "-ffp-contract=off" in flags
        assert set(flags) <= set(commands[source])
