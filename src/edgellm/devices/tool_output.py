"""What a program of the system says where no file does: `sysctl` on macOS, `getprop` on Android.

A recorded tree keeps the program's output in ``recorded/<program>``. macOS was never measured on: the keys are those of
published outputs.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from edgellm.devices.cgroup import read_text

__all__ = ["android_property", "sysctl"]

_TIMEOUT_S = 2.0
_LIMIT_BYTES = 256 << 10
_SYSCTL = "/usr/sbin/sysctl"
_GETPROP = "/system/bin/getprop"


def sysctl(root: Path, *names: str) -> dict[str, str]:
    """Key -> value of ``names``, each a key or the beginning of keys ("hw.optional"); empty where it is not macOS.

    What this macOS does not know is left out.
    """
    if root == Path("/"):
        text = _run([_SYSCTL, *names]) if sys.platform == "darwin" else ""
    else:
        text = read_text(root / "recorded/sysctl")
    found = dict(re.findall(r"^([\w.]{1,100}): (.*)$", text[:_LIMIT_BYTES], re.MULTILINE))
    return {key: value.strip() for key, value in found.items() if any(_is_below(key, name) for name in names)}


def android_property(root: Path, name: str) -> str:
    """The value of a property; empty where there is none, or no Android."""
    if not (root / "system/build.prop").exists():
        return ""
    if root == Path("/"):
        return _run([_GETPROP, name]).strip()
    found = re.search(rf"^\[{re.escape(name)}\]: \[(.*)\]$", read_text(root / "recorded/getprop"), re.MULTILINE)
    return found.group(1).strip() if found else ""


def _is_below(key: str, name: str) -> bool:
    return key == name or key.startswith(f"{name}.")


def _run(command: list[str]) -> str:
    """What it prints, whatever its exit status: `sysctl` fails when one of several keys is unknown."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout[:_LIMIT_BYTES].decode("utf-8", "replace")
