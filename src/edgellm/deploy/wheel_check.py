"""Whether a built llama-cpp-python keeps to the profile's processor: by its own word, and by its machine code."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

from edgellm.deploy.cpu_flags import REPORTED, cmake_options, compiled_features
from edgellm.devices.profile import Profile
from edgellm.errors import BackendError, IntegrityError
from edgellm.files import os_errors
from edgellm.progress import Progress

__all__ = ["check_llama_wheel", "foreign_instructions", "reported_features"]

_LIBRARY_LIMIT_BYTES = 512 << 20
_TIMEOUT_S = 300.0
# Without this feature the machine code must not hold this. A few instructions that compilers like to use are enough:
# an option that leaked in shows everywhere.
_MARKS = {
    "x86_64": {
        "avx512f": r"%zmm\d",
        "avx": r"%ymm\d",
        "avx2": r"\tvpermq |\tvpmaddubsw .*%ymm",
        "fma": r"\tvfn?m(?:add|sub)\d{3}[ps][sd] ",
        "f16c": r"\tvcvtph2ps ",
        "bmi2": r"\t(?:mulx|pdep|pext|shlx|shrx|sarx) ",
        "amx_int8": r"\ttdpbssd ",
    },
    "aarch64": {
        "asimddp": r"\t[su]dot\tv",
        "asimdhp": r"\tf(?:add|mul|mla)\tv\d+\.[48]h",
        "i8mm": r"\t(?:us|[su])mmla\tv",
        "sve": r"\tptrue\tp",
    },
    "riscv64": {"v": r"\tvsetv?l?i"},
}
_ASK = """
import ctypes, json, sys
library = ctypes.CDLL(sys.argv[1])
functions = {name: getattr(library, "ggml_cpu_has_" + name, None) for name in sys.argv[2:]}
print(json.dumps([name for name, function in functions.items() if function is not None and function()]))
"""


def check_llama_wheel(wheel: Path, profile: Profile, scratch: Path, progress: Progress) -> None:
    """Raise IntegrityError when the wheel uses more of a processor than ``profile`` has, or less than was asked for."""
    library = _unpack(wheel, scratch)
    have = set(profile.cpu.features)
    reported = reported_features(library)
    if reported is None:
        progress.message("this processor cannot load what was built for the other one: its features were not asked")
    else:
        _compare(compiled_features(reported), profile)
    found = foreign_instructions(library, profile.cpu.arch, have)
    if found is None:
        progress.message("objdump is not installed: the machine code was not searched for foreign instructions")
    elif found:
        raise IntegrityError(
            f"{wheel.name} holds instructions for {', '.join(found)}, which {profile.name} does not have",
            hint="clear CFLAGS, CXXFLAGS and CMAKE_* variables, and build it again",
        )


def reported_features(library: Path) -> list[str] | None:
    """The ggml_cpu_has_ names to which the CPU library says yes; None when it cannot be loaded here.

    In a process of its own: a library for a newer processor may die of an illegal instruction.
    """
    command = [sys.executable, "-c", _ASK, str(library), *REPORTED]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
    if done.returncode < 0:
        return None
    if done.returncode != 0:
        raise BackendError(
            f"{library.name} cannot be loaded: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}",
            hint="libgomp and libstdc++ are needed: sudo apt install libgomp1 libstdc++6",
        )
    return [str(name) for name in json.loads(done.stdout)]


def foreign_instructions(library: Path, arch: str, features: Iterable[str]) -> list[str] | None:
    """Features outside ``features`` whose instructions the library holds; None without an objdump that reads it."""
    objdump = shutil.which("objdump")
    have = set(features)
    marks = {name: re.compile(mark) for name, mark in _MARKS.get(arch, {}).items() if name not in have}
    if objdump is None:
        return None
    found: set[str] = set()
    command = [objdump, "--disassemble", "--no-show-raw-insn", str(library)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            found.update(name for name, mark in marks.items() if mark.search(line))
    return sorted(found) if process.returncode == 0 else None


def _unpack(wheel: Path, scratch: Path) -> Path:
    """The CPU library of the wheel, unpacked with the one that it needs."""
    folder = scratch / "unpacked"
    with os_errors(f"unpack {wheel}"), zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            path = Path(entry.filename)
            if path.parts[:-1] == ("llama_cpp", "lib") and path.name.startswith("libggml"):
                if entry.file_size > _LIBRARY_LIMIT_BYTES:
                    raise IntegrityError(f"{wheel.name}: {entry.filename} is too large")
                archive.extract(entry, folder)
    names = sorted((folder / "llama_cpp" / "lib").glob("libggml-cpu.*"))
    if not names:
        raise IntegrityError(f"{wheel.name} holds no libggml-cpu", hint="build it again")
    return names[0]


def _compare(compiled: set[str], profile: Profile) -> None:
    have = set(profile.cpu.features)
    if beyond := sorted(compiled - have):
        raise IntegrityError(
            f"llama.cpp was compiled for {', '.join(beyond)}, which {profile.name} does not have",
            hint="clear CFLAGS, CXXFLAGS and CMAKE_* variables, and build it again",
        )
    options = cmake_options(profile)
    wanted = {feature for feature in have if any(feature in needed for needed in REPORTED.values())}
    if missing := sorted(wanted - compiled):
        raise IntegrityError(
            f"llama.cpp was compiled without {', '.join(missing)}, which {profile.name} has",
            hint="the compiler may be too old for these options: " + " ".join(f"-D{k}={v}" for k, v in options.items()),
        )
