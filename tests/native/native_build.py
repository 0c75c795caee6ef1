"""Compiles the project's C++ sources for tests, with the flags that CMakeLists.txt gives them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

__all__ = [
    "CONVERTERS",
    "HERE",
    "REPOSITORY",
    "RUNTIMES",
    "SANITIZE",
    "WARNINGS",
    "build_kernels_driver",
    "build_runtime_driver",
    "compile_all",
    "digests_by_tier",
    "kernel_sources",
    "require_compiler",
    "require_sanitizers",
    "run",
]

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
CONVERTERS = REPOSITORY / "converters" / "edgellm_converters" / "native"
RUNTIMES = REPOSITORY / "runtimes" / "edgellm_runtimes" / "native"

WARNINGS = ["-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror"]
SANITIZE = ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
_INCLUDE = [f"-I{CONVERTERS}", f"-I{RUNTIMES}"]
_FLAG_VARIABLES = {"CXX", "CXXFLAGS", "CPPFLAGS", "LDFLAGS"}  # a builder's own, which CMake would take up
_TIMEOUT_S = 300.0


def run(command: Sequence[str | Path]) -> str:
    """Standard output of a command; AssertionError with its standard error when it fails."""
    environment = {name: value for name, value in os.environ.items() if name not in _FLAG_VARIABLES}
    # The kernels allocate nothing, and the leak checker cannot work where processes may not be traced.
    environment |= {"ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1"}
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=_TIMEOUT_S, env=environment, check=False)
    assert done.returncode == 0, f"{' '.join(words)}\nexit status {done.returncode}\n{done.stderr}"
    return done.stdout


def digests_by_tier(output: str) -> dict[str, list[str]]:
    """Tier -> the lines that a driver printed for it, without its name: what was computed, its digest, counts."""
    tiers = defaultdict(list)
    for line in output.splitlines():
        tier, rest = line.split(" ", 1)
        tiers[tier].append(rest)
    return dict(tiers)


def require_compiler(name: str) -> str:
    """Path of a compiler; the test skips where there is none."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"needs the compiler {name}")
    return path


def require_sanitizers(compiler: str, folder: Path, flags: Sequence[str] = SANITIZE) -> None:
    """Skips where the compiler has not the sanitizers of `flags`, or programs made with them do not start."""
    source, program = folder / "empty.cpp", folder / "empty"
    source.write_text("int main() { return 0; }\n")
    try:
        run([compiler, *flags, source, "-o", program])
        run([program])
    except AssertionError as error:
        pytest.skip(f"needs working sanitizers: {str(error).splitlines()[-1]}")


@cache
def kernel_sources(compiler: str) -> tuple[tuple[Path, tuple[str, ...]], ...]:
    """(source, flags) of every instruction set that the compiler's target has, as CMakeLists.txt tells them."""
    text = (REPOSITORY / "CMakeLists.txt").read_text()
    common = re.search(r"set\(_kernel_flags ([^)]*)\)", text)
    assert common is not None
    pattern = r"set_source_files_properties\(\$\{_quantize_dir\}/(\S+\.cpp) PROPERTIES\s+COMPILE_OPTIONS\s+\"([^\"]*)\""
    flags = {
        name: options.replace("${_kernel_flags}", common[1].replace(" ", ";")).split(";")
        for name, options in re.findall(pattern, text)
    }
    assert flags.keys() == {path.name for path in CONVERTERS.glob("kernels_*.cpp")}
    target = run([compiler, "-dM", "-E", "-x", "c++", "/dev/null"])
    names = sorted(flags) if "__x86_64__" in target else ["kernels_baseline.cpp"]
    return tuple((CONVERTERS / name, tuple(flags[name])) for name in names)


def compile_all(compiler: str, folder: Path, sources: Sequence[tuple[Path, Sequence[str]]]) -> list[Path]:
    """Objects of (source, flags) pairs, made without a warning."""
    objects = []
    for source, flags in sources:
        objects.append(folder / f"{source.parent.parent.name}-{source.stem}.o")
        run([compiler, "-std=c++17", *WARNINGS, *_INCLUDE, *flags, "-c", source, "-o", objects[-1]])
    return objects


def build_kernels_driver(compiler: str, folder: Path, flags: Sequence[str] = ()) -> Path:
    """The program that calls the kernels; `flags` come after the kernels' own."""
    folder.mkdir()
    kernels = kernel_sources(compiler)
    define = ["-DEDGELLM_X86_KERNELS"] if len(kernels) > 1 else []
    sources = [(HERE / "kernels_driver.cpp", [*define, "-O1", "-ffp-contract=off", *flags])]
    sources += [(source, [*define, *own, *flags]) for source, own in kernels]
    program = folder / "kernels_driver"
    run([compiler, *compile_all(compiler, folder, sources), *flags, "-o", program])
    return program


def build_runtime_driver(compiler: str, folder: Path, flags: Sequence[str] = ()) -> Path:
    """The program that calls the stop flag, the feature detection, the bandwidth kernel and the half conversions."""
    folder.mkdir()
    sources = [(HERE / "runtime_driver.cpp", flags), (RUNTIMES / "cpu_features.cpp", flags)]
    sources.append((RUNTIMES / "bandwidth.cpp", flags))
    program = folder / "runtime_driver"
    run([compiler, *compile_all(compiler, folder, sources), *flags, "-pthread", "-o", program])
    return program
