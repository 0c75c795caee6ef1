"""What this machine can build for: a wheel with machine code is made on the processor family that runs it."""

from __future__ import annotations

import platform
import sys

from edgellm.devices.profile import Profile
from edgellm.errors import UsageError

__all__ = ["machine_arch", "require_same_machine"]

_ARCHES = {"amd64": "x86_64", "arm64": "aarch64"}
_SYSTEMS = {"macos": "macOS", "android": "Android (Termux)"}


def machine_arch() -> str:
    """This processor family in the words of a profile: ``aarch64``, ``x86_64``, ``riscv64``."""
    name = platform.machine().lower()
    return _ARCHES.get(name, name)


def machine_system() -> str:
    """``Linux``, ``macOS`` or ``Android (Termux)``."""
    if hasattr(sys, "getandroidapilevel"):
        return _SYSTEMS["android"]
    return {"Darwin": "macOS"}.get(platform.system(), platform.system())


def require_same_machine(profile: Profile, command: str, *, arch: str | None = None, system: str | None = None) -> None:
    """Raise UsageError when wheels for ``profile`` cannot be built here; the hint is ``command``, and where to run it.

    ``arch`` and ``system`` are this machine's by default.
    """
    arch, system = arch or machine_arch(), system or machine_system()
    wanted = _SYSTEMS.get(profile.memory.system, "Linux")
    if (arch, system) == (profile.cpu.arch, wanted):
        return
    raise UsageError(
        f"wheels for {profile.name} are built on {profile.cpu.arch} with {wanted}, and this is {arch} with {system}",
        hint=f"in a checkout of edgellm on {_where(profile, wanted)} run: {command}",
    )


def _where(profile: Profile, system: str) -> str:
    if profile.cpu.arch == "aarch64" and system == "Linux":
        return "any 64-bit ARM Linux machine (a Raspberry Pi with 4 GB, an ARM server)"
    return f"a machine with {system} and {profile.cpu.arch}"
