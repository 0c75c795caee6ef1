"""Collects every wheel that a device needs, compiled for its processor: installed with no network and no compiler.

usage: python -m edgellm.deploy.wheelhouse --profile raspberrypi5 --output wheelhouse/raspberrypi5
"""

from __future__ import annotations

import fcntl
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from edgellm.deploy.build_machine import require_same_machine
from edgellm.deploy.cpu_flags import cmake_args
from edgellm.deploy.llama_wheel import DISTRIBUTION, build_llama_wheel
from edgellm.deploy.pip_process import Pip, require_pip
from edgellm.deploy.wheel_check import check_llama_wheel
from edgellm.deploy.wheel_files import SUMS, write_wheel_files
from edgellm.devices.profile import Profile
from edgellm.errors import BusyError, UnsupportedError, UsageError
from edgellm.files import fsync_directory, os_errors
from edgellm.progress import CancelToken, Progress

__all__ = ["WheelhouseRequest", "build_wheelhouse"]

_CHECKOUT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class WheelhouseRequest:
    """What is asked for."""

    profile: Profile
    reference: str  # what the profile was called
    output: Path
    cache: Path  # wheels of llama-cpp-python are kept below it
    python: Path = Path(sys.executable)  # the wheels are for its version
    extras: tuple[str, ...] = ()
    accelerator: bool = False

    @property
    def command(self) -> str:
        """The command that makes the same wheelhouse elsewhere."""
        words = [f"make wheelhouse PROFILE={self.reference}"]
        words += [f"EXTRA={','.join(self.extras)}"] if self.extras else []
        words += ["ACCELERATOR=1"] if self.accelerator else []
        return " ".join(words)


def build_wheelhouse(request: WheelhouseRequest, progress: Progress, cancel: CancelToken) -> Path:
    """Make ``request.output``: wheels, SHA256SUMS, requirements.txt, INSTALL.txt. It appears whole or not at all.

    Raises UsageError when the profile's processor is not this machine's, UnsupportedError without a checkout or pip,
    BackendError when pip fails, IntegrityError when the built library does not keep to the profile.
    """
    require_same_machine(request.profile, request.command)
    if not (_CHECKOUT / "pyproject.toml").is_file():
        raise UnsupportedError("a wheelhouse is made from a checkout of edgellm", hint=f"there run: {request.command}")
    python = require_pip(request.python)
    _require_replaceable(request.output)
    flags = cmake_args(request.profile, accelerator=request.accelerator)
    version = _llama_version()
    with _partial_folder(request.output) as partial:
        scratch, wheels = partial / "scratch", partial / "wheels"
        for folder in (scratch, wheels):
            folder.mkdir()
        pip = Pip(request.python, partial / "pip.log", progress, cancel)
        llama = build_llama_wheel(pip, version, flags, request.cache, scratch, progress)
        cancel.check()
        check_llama_wheel(llama, request.profile, scratch, progress)
        own = _build_own_wheel(pip, scratch)
        _collect(pip, own, llama, request, scratch, wheels, python)
        facts = [
            ("device", f"{request.profile.name} ({request.profile.id})"),
            ("processor", f"{request.profile.cpu.arch}: {flags}"),
            ("python", f"{python} ({platform.machine()}, {' '.join(platform.libc_ver())} or newer)"),
            ("extras", ", ".join(request.extras) or "none"),
        ]
        write_wheel_files(wheels, facts, python)
        _replace(request.output, wheels)
    return request.output


def _llama_version() -> str:
    """The version of this environment, whose tests have run; without one the lowest that pyproject.toml allows."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        text = (_CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")
        found = re.search(rf'"{DISTRIBUTION}>=([0-9.]+)', text)
        assert found is not None
        return found[1]


def _build_own_wheel(pip: Pip, scratch: Path) -> Path:
    # A build folder of its own: the checkout's belongs to the editable installation.
    settings = f"--config-settings=build-dir={scratch / 'build'}"
    pip.run(["wheel", "--no-deps", settings, "--wheel-dir", scratch / "own", _CHECKOUT])
    return next((scratch / "own").glob("edgellm-*.whl"))


def _collect(
    pip: Pip, own: Path, llama: Path, request: WheelhouseRequest, scratch: Path, wheels: Path, python: str
) -> None:
    """Bring every dependency as a wheel, in the versions that this environment has where it runs the same Python."""
    extras = f"[{','.join(request.extras)}]" if request.extras else ""
    constraints = scratch / "constraints.txt"
    pins = []
    if python == f"{sys.version_info[0]}.{sys.version_info[1]}":
        pins = sorted({f"{d.metadata['Name']}=={d.version}\n" for d in metadata.distributions() if d.metadata["Name"]})
    mine = ("edgellm==", f"{DISTRIBUTION}==", f"{DISTRIBUTION.replace('-', '_')}==")
    constraints.write_text("".join(pin for pin in pins if not pin.lower().startswith(mine)), encoding="utf-8")
    options: list[str | Path] = ["--prefer-binary", "--constraint", constraints, "--wheel-dir", wheels]
    pip.run(["wheel", *options, f"edgellm{extras} @ {own.as_uri()}", llama])
    for wheel in (own, llama):
        if not (wheels / wheel.name).exists():
            shutil.copy2(wheel, wheels / wheel.name)


def _require_replaceable(output: Path) -> None:
    if not output.name:
        raise UsageError(f"{output} cannot be replaced", hint="name a folder with --output")
    with os_errors(f"read {output}"):
        if output.is_dir() and not output.is_symlink() and (not any(output.iterdir()) or (output / SUMS).is_file()):
            return
    if output.exists() or output.is_symlink():
        raise UsageError(f"{output} exists and is no wheelhouse", hint="choose another folder with --output")


@contextmanager
def _partial_folder(output: Path) -> Iterator[Path]:
    """An empty folder beside ``output``, removed at the end; one process at a time has it."""
    partial = output.with_name(f".{output.name}.partial")
    with os_errors(f"write {partial}"):
        output.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(output.parent, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise BusyError(f"another process is writing a wheelhouse in {output.parent}", hint="wait for it") from None
    try:
        shutil.rmtree(partial, ignore_errors=True)
        with os_errors(f"write {partial}"):
            partial.mkdir()
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        os.close(lock)


def _replace(output: Path, whole: Path) -> None:
    """Put ``whole`` at ``output``; what was there goes away afterwards."""
    old = whole.parent / "old"
    with os_errors(f"write {output}"):
        if output.exists():
            output.rename(old)
        whole.rename(output)
        fsync_directory(output.parent)


if __name__ == "__main__":
    from edgellm.deploy.wheelhouse_command import main

    sys.exit(main())
