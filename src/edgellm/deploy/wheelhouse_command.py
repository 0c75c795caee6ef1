"""The command line of ``python -m edgellm.deploy.wheelhouse``, which ``make wheelhouse`` calls."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from edgellm.deploy.wheelhouse import WheelhouseRequest, build_wheelhouse
from edgellm.devices.load import load_profile
from edgellm.errors import EdgeLLMError, NetworkError, UsageError
from edgellm.paths import user_paths
from edgellm.progress import CancelToken, SilentProgress
from edgellm.sources.hub.settings import OFFLINE, is_on

__all__ = ["main"]


class LineProgress(SilentProgress):
    """A line on stderr for everything that happens."""

    def phase(self, name: str, total_bytes: int | None = None) -> None:
        """What begins."""
        self.message(name)

    def message(self, text: str) -> None:
        """One line."""
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, build, and print the folder; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m edgellm.deploy.wheelhouse", description=__doc__)
    parser.add_argument("--profile", required=True, help="device profile: an id, an alias, a TOML file, or local")
    parser.add_argument("--output", type=Path, help="folder to write, by default wheelhouse/PROFILE")
    parser.add_argument("--extra", default="", help="extras, separated by commas: onnx, pack")
    parser.add_argument("--python", default=sys.executable, help="interpreter of the device's version")
    parser.add_argument("--accelerator", action="store_true", help="build for the profile's GPU too")
    parser.add_argument("--cache", type=Path, help="where built wheels are kept, by default edgellm's cache folder")
    parser.add_argument("--quiet", action="store_true", help="print the folder alone")
    options = parser.parse_args(arguments)
    token = CancelToken()

    def stop(_number: int, _frame: FrameType | None) -> None:
        token.cancel()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        profile = load_profile(options.profile).profile
        extras = tuple(sorted({word for word in options.extra.split(",") if word}))
        if not set(extras) <= {"onnx", "pack"}:
            hint = "--extra onnx, --extra pack, --extra onnx,pack, or none"
            raise UsageError(f"there is no extra {options.extra!r}", hint=hint)
        request = WheelhouseRequest(
            profile=profile,
            reference=options.profile,
            output=(options.output or Path("wheelhouse") / profile.id).absolute(),
            cache=options.cache.absolute() if options.cache else user_paths().cache,
            python=_interpreter(options.python),
            extras=extras,
            accelerator=options.accelerator,
        )
        _require_online()
        print(build_wheelhouse(request, SilentProgress() if options.quiet else LineProgress(), token))  # noqa: T201
    except EdgeLLMError as error:
        sys.stderr.write(f"error: {error.message}\n" + (f"hint: {error.hint}\n" if error.hint else ""))
        return error.exit_code
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0


def _require_online() -> None:
    """Raise NetworkError before pip asks its index for a hundred things."""
    if is_on(OFFLINE, os.environ):
        raise NetworkError(
            f"a wheelhouse is made of downloads, and no connection is opened, because {OFFLINE} is set",
            hint=f"unset {OFFLINE} for this command",
        )


def _interpreter(name: str) -> Path:
    found = shutil.which(name)
    if found is None:
        raise UsageError(f"there is no interpreter {name!r}", hint="give its path, or a name that is on PATH")
    return Path(found).absolute()
