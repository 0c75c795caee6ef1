"""Unpacks a Python for 64-bit ARM from Debian's packages, once, for the tests of the cross-compiled modules.

usage: python tests/oracle/fetch_arm_python.py

apt works in folders of its own: nothing is installed, and the package lists of the machine stay as they are. Where
there is no apt or no network it says so and ends well: the tests then say what they lack.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from oracle_tools import arm_python

PACKAGES = ("python3.11-minimal", "libpython3.11-stdlib", "libpython3.11-dev", "libstdc++6", "zlib1g")
TIMEOUT_S = 300


def fetch(root: Path) -> None:
    """Make ``root``; it appears whole or not at all. Raises CalledProcessError, OSError."""
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".arm-python-", dir=root.parent) as name:
        work = Path(name)
        for folder in ("state/lists/partial", "cache/archives/partial", "root"):
            (work / folder).mkdir(parents=True)
        (work / "status").touch()
        config = work / "apt.conf"
        config.write_text(
            'APT::Architecture "arm64";\nAPT::Architectures { "arm64"; };\n'
            f'Dir::State "{work}/state";\nDir::State::status "{work}/status";\nDir::Cache "{work}/cache";\n'
            'APT::Sandbox::User "root";\nAcquire::Languages "none";\nAcquire::Retries "3";\n'
        )
        environment = os.environ | {"APT_CONFIG": str(config), "DEBIAN_FRONTEND": "noninteractive"}
        commands = (
            ["apt-get", "-qq", "update"],
            ["apt-get", "-qq", "-y", "--no-install-recommends", "--download-only", "install", *PACKAGES],
        )
        for command in commands:
            subprocess.run(command, env=environment, check=True, timeout=TIMEOUT_S, stdout=subprocess.DEVNULL)
        for package in sorted((work / "cache" / "archives").glob("*.deb")):
            subprocess.run(["dpkg", "-x", package, work / "root"], check=True, timeout=TIMEOUT_S)
        (work / "root").rename(root)


def main() -> int:
    root = arm_python()
    if root.is_dir():
        return 0
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        print("no Python for ARM: it comes from Debian's packages, and there is no apt here")
        return 0
    try:
        fetch(root)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"no Python for ARM: {error}")
        return 0
    print(f"unpacked a Python for ARM in {root}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
