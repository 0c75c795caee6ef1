"""Makes the wheelhouse that test_wheelhouse_install.py installs: for a shipped profile that this machine can run.

usage: python tests/packaging/make_wheelhouse.py FOLDER    e.g. build/wheelhouse

llama.cpp is compiled with the profile's flags, some minutes, unless build/wheels already holds that wheel.
"""

from __future__ import annotations

import sys
from pathlib import Path

from edgellm.deploy.build_machine import machine_arch
from edgellm.deploy.wheelhouse_command import main as make
from edgellm.devices.load import load_profile
from edgellm.devices.topology import cpu_features

# The richest comes first; what is built for it must also run here.
CANDIDATES = ("intel-n100", "x86-laptop", "raspberrypi5", "raspberrypi4", "spacemit-k1")


def main() -> int:
    here = set(cpu_features(Path("/")))
    for name in CANDIDATES:
        cpu = load_profile(name).profile.cpu
        if cpu.arch == machine_arch() and here.issuperset(cpu.features):
            return make(["--profile", name, "--output", sys.argv[1], "--cache", "build"])
    print("no shipped profile is for a processor like this one: `edgellm devices list`", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
