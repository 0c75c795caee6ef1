"""Says what setting up will download, how much disk and time it takes, and checks what must be there first.

Runs before anything is installed: standard library only.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

DOWNLOAD_MB = 130
DISK_MB = 1200
KEPT_MB = 300
BUILD_CPU_MINUTES = 6.5


def main() -> int:
    problems = []
    if sys.version_info < (3, 11):
        problems.append(
            f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}: make demo PYTHON=python3.11"
        )
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        problems.append("Python's venv module is missing: sudo apt install python3-venv")
    if importlib.util.find_spec("sysconfig") is not None:
        import sysconfig

        if not Path(sysconfig.get_paths()["include"], "Python.h").exists():
            problems.append("Python's headers are missing: sudo apt install python3-dev")
    if not any(shutil.which(name) for name in (os.environ.get("CXX", ""), "g++", "c++", "clang++") if name):
        problems.append("a C++ compiler is needed: sudo apt install g++")
    free_mb = shutil.disk_usage(Path.cwd()).free // 2**20
    if free_mb < DISK_MB:
        problems.append(f"{DISK_MB} MB of disk are needed here, {free_mb} MB are free")

    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    if problems:
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    minutes = max(1, round(BUILD_CPU_MINUTES / cores + 1))
    print(
        f"Setting up edgellm in {Path.cwd() / '.venv'} (nothing outside this folder but pip's cache is written):\n"
        f"  download  about {DOWNLOAD_MB} MB from the Python package index, less where pip has it cached\n"
        f"  disk      about {DISK_MB / 1000:.1f} GB while it builds, {KEPT_MB / 1000:.1f} GB afterwards; "
        f"{free_mb / 1000:.0f} GB are free\n"
        f"  time      about {minutes} minutes on {cores} core{'s' if cores > 1 else ''}: llama.cpp is compiled for this"
        " CPU, once",
        flush=True,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
