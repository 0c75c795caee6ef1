"""A machine for the checks: recorded /proc and /sys, folders of its own, a child that says what it is told to."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from board_trees import write_tree
from edgellm.deploy.checks.machine import NATIVE_MODULES, Machine

X86_FLAGS = "fpu sse4_2 avx avx2 f16c fma bmi2"
X86_BUILD = ["avx", "avx2", "f16c", "fma", "bmi2"]
PI5_FEATURES = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
PI4_FEATURES = "fp asimd evtstrm crc32 cpuid"
MEMINFO = "MemTotal: 8245824 kB\nMemAvailable: 6291456 kB\n"


def x86(flags: str = X86_FLAGS) -> dict[str, str]:
    return {"proc/cpuinfo": f"processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: {flags}\n", "proc/meminfo": MEMINFO}


def arm(features: str) -> dict[str, str]:
    return {"proc/cpuinfo": f"processor\t: 0\nFeatures\t: {features}\n", "proc/meminfo": MEMINFO}


def build_child(features: list[str] | None = None, *, until: str = "", end: str = "") -> tuple[str, ...]:
    """A real process that reports ``features`` and runs all steps, or ends with ``end`` in the step ``until``."""
    lines: list[dict[str, Any]] = []
    for step in (*NATIVE_MODULES, "llama.cpp", "kernels"):
        lines.append({"step": step})
        if step == "llama.cpp" and features is not None:
            lines.append({"features": features})
        if step == until:
            break
        lines.append({"step": step, "error": ""})
    said = "".join(json.dumps(line) + "\n" for line in lines)
    code = f"import os, signal, sys\nsys.stdout.write({said!r})\nsys.stdout.flush()\n{end}"
    return (sys.executable, "-c", code)


def fake_machine(folder: Path, files: dict[str, str] | None = None, **parts: Any) -> Machine:
    """A machine whose /proc and /sys hold ``files``; ``parts`` replace fields of Machine."""
    root = write_tree(folder / "root", files or x86())
    fields: dict[str, Any] = {
        "root": root,
        "architecture": "x86_64",
        "environ": {"EDGELLM_HOME": str(folder / "home"), "HOME": str(folder / "user")},
        "system_config": folder / "etc.toml",
        "build_command": build_child(X86_BUILD),
        "version_of": {"llama-cpp-python": "0.3.36"}.get,
        "now_s": 1_800_000_000.0,
        "encoding": "utf-8",
    }
    return Machine(**(fields | parts))
