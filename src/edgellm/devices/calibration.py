"""A calibration of this machine: what it holds, where it is kept, and how it replaces a profile's estimates.

It lives in the state folder and is used on the machine that it was made on, as long as processor, threads and
llama.cpp stay the same.
"""

from __future__ import annotations

import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import msgspec

from edgellm.devices.local import decode_threads
from edgellm.devices.measured import KernelSpeed, Measured
from edgellm.devices.profile import Figure, Profile
from edgellm.devices.topology import cpu_features, cpu_name
from edgellm.errors import AccessError, NotFoundError, UsageError
from edgellm.files import os_errors, read_small_file, write_atomic
from edgellm.progress import Progress

__all__ = [
    "Calibration",
    "KernelSpeed",
    "Machine",
    "Measured",
    "apply_calibration",
    "calibration_path",
    "machine_mismatch",
    "read_calibration",
    "this_machine",
    "write_calibration",
]

_VERSION = 1
_LIMIT_BYTES = 1 << 20
_RUNTIME_PACKAGE = "llama-cpp-python"

Text = Annotated[str, msgspec.Meta(max_length=400)]
Bandwidth = Annotated[float, msgspec.Meta(gt=0, le=1e5)]


class Machine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a calibration belongs to."""

    cpu: Text  # as /proc/cpuinfo names it
    features_digest: Text
    threads: int
    runtime: Text  # "llama-cpp-python 0.3.36"


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One calibration, as it is stored."""

    version: int = _VERSION
    machine: Machine
    date: Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    read_gb_s: Bandwidth  # memory read by all decode threads together
    copy_gb_s: Bandwidth  # bytes read plus bytes written
    measured: Measured


def this_machine(root: Path = Path("/"), package: str = _RUNTIME_PACKAGE) -> Machine:
    """The identity of the machine whose /proc and /sys lie below ``root``, with the installed runtime ``package``."""
    features = " ".join(cpu_features(root))
    return Machine(
        cpu=cpu_name(root),
        features_digest="sha256:" + hashlib.sha256(features.encode()).hexdigest(),
        threads=decode_threads(root),
        runtime=f"{package} {_version(package)}",
    )


def calibration_path(state_folder: Path) -> Path:
    """Where the calibration lies."""
    return state_folder / "calibration.json"


def write_calibration(state_folder: Path, calibration: Calibration) -> None:
    """Keep ``calibration`` in ``state_folder``, which is made when missing. Raises AccessError, NoSpaceError."""
    data = msgspec.json.format(msgspec.json.encode(calibration)) + b"\n"
    with os_errors(f"write {calibration_path(state_folder)}"):
        state_folder.mkdir(parents=True, exist_ok=True)
        write_atomic(calibration_path(state_folder), data)


def read_calibration(
    state_folder: Path, *, machine: Machine | None = None, progress: Progress | None = None
) -> Calibration | None:
    """The calibration in ``state_folder`` if it is of ``machine`` (by default this one); None without one.

    A torn file, or one of another machine, is ignored; ``progress`` gets a message that says why.
    """
    path = calibration_path(state_folder)
    try:
        found = msgspec.json.decode(read_small_file(path, _LIMIT_BYTES, "the calibration"), type=Calibration)
    except NotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, UsageError, AccessError) as error:
        reason = f"it cannot be read ({error})"
    else:
        reason = _mismatch(found, machine or this_machine())
        if not reason:
            return found
    if progress is not None:
        progress.message(f"the calibration {path} is not used: {reason}")
    return None


def apply_calibration(profile: Profile, calibration: Calibration) -> Profile:
    """``profile`` with what was measured in the place of its estimates of bandwidth and speed."""
    measured = calibration.measured
    bandwidth = Figure(
        source=f"{measured.source}: reads with {calibration.machine.threads} threads", value=calibration.read_gb_s
    )
    return msgspec.structs.replace(
        profile,
        memory=msgspec.structs.replace(profile.memory, bandwidth_measured_gb_s=bandwidth),
        perf=msgspec.structs.replace(profile.perf, confidence="high", measured=measured),
    )


def _mismatch(calibration: Calibration, machine: Machine) -> str:
    """Why ``calibration`` says nothing about ``machine``; empty when it does."""
    if calibration.version != _VERSION:
        return f"it has version {calibration.version}, this edgellm writes {_VERSION}"
    return machine_mismatch(calibration.machine, machine)


def machine_mismatch(made: Machine, here: Machine) -> str:
    """Why what was measured on ``made`` does not hold for ``here``; empty when it does."""
    if made.cpu != here.cpu:
        return f"it was made on {made.cpu or 'another processor'}, this is {here.cpu or 'an unknown processor'}"
    if made.features_digest != here.features_digest:
        return "the processor had other features when it was made"
    if made.threads != here.threads:
        return f"it was made with {made.threads} threads, {here.threads} are used now"
    if made.runtime != here.runtime:
        return f"it was made with {made.runtime}, {here.runtime} is installed"
    return ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
