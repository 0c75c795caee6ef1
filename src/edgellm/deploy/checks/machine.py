"""What the checks look at. Every part can be replaced, so that a test can present another machine."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import metadata
from pathlib import Path

from edgellm.devices.health import Health, RunTool, read_health
from edgellm.devices.mounts import Mount, read_mounts
from edgellm.errors import EdgeLLMError
from edgellm.paths import Paths, user_paths
from edgellm.pip import pip_install
from edgellm.settings import SYSTEM_CONFIG, SettingsWithOrigin, load_settings
from edgellm_runtimes.build_probe import BuildReport, probe_build

__all__ = ["NATIVE_MODULES", "Machine", "Python", "installed_version"]

NATIVE_MODULES = ("edgellm_runtimes._native", "edgellm_converters._quantize")


def installed_version(package: str) -> str | None:
    """The version of an installed distribution, None when it is not there."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@dataclass(frozen=True)
class Python:
    """The interpreter that runs edgellm."""

    version: tuple[int, int, int] = sys.version_info[:3]
    implementation: str = sys.implementation.name
    bits: int = 64 if sys.maxsize > 2**32 else 32
    executable: str = sys.executable
    in_venv: bool = sys.prefix != sys.base_prefix
    stdlib: Path = Path(os.__file__).parent
    has_pip: bool = field(default_factory=lambda: importlib.util.find_spec("pip") is not None)


@dataclass(frozen=True)
class Machine:
    """This machine, or a test's. ``root`` is where its /proc and /sys lie; the user's folders are real paths."""

    root: Path = Path("/")
    architecture: str = field(default_factory=platform.machine)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    config_file: str | None = None
    system_config: Path = SYSTEM_CONFIG
    python: Python = field(default_factory=Python)
    run_tool: RunTool | None = None
    build_command: tuple[str, ...] | None = None  # replaces the child that loads the native code
    version_of: Callable[[str], str | None] = installed_version
    now_s: float = field(default_factory=time.time)
    encoding: str = field(default_factory=lambda: getattr(sys.stdout, "encoding", None) or "unknown")

    @cached_property
    def settings(self) -> SettingsWithOrigin | EdgeLLMError:
        """The settings in force, or why there are none."""
        try:
            return load_settings(self.config_file, self.environ, self.system_config)
        except EdgeLLMError as error:
            return error

    @cached_property
    def paths(self) -> Paths:
        """The folders; the default ones while the settings cannot be read. Raises UsageError."""
        return user_paths(self.environ) if isinstance(self.settings, EdgeLLMError) else self.settings.paths

    @cached_property
    def mounts(self) -> list[Mount]:
        """The mount table."""
        return read_mounts(self.root)

    @cached_property
    def health(self) -> Health:
        """Temperature, throttling, voltage."""
        return read_health(self.root, self.run_tool)

    @cached_property
    def build(self) -> BuildReport:
        """What the native code was built for, and whether it loads."""
        return probe_build(NATIVE_MODULES, command=self.build_command)

    def pip_install(self, arguments: str) -> str:
        """The command that installs into this interpreter's environment."""
        return pip_install(arguments, self.python.executable, self.python.has_pip)
