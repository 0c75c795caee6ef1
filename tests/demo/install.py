"""Installs this checkout into the virtual environment that runs it, and shows how far the build is.

usage: install.py REQUIREMENT    e.g. install.py '.[pack]'. The whole log is kept in build/install.log.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

STEP = re.compile(r"\s*\[(\d+)/(\d+)\]")
NOTABLE = re.compile(r"\s*(Collecting|Downloading|Building wheel for|Successfully installed) ?(\S*)")
KEEP_LINES = 40


def main() -> int:
    requirement = sys.argv[1]
    log_path = Path("build/install.log")
    log_path.parent.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "pip", "install", "-v", "--disable-pip-version-check", "-e", requirement]
    print(f"Installing {requirement} ...", flush=True)
    started = shown = time.monotonic()
    last: list[str] = []
    building = ""
    with (
        log_path.open("w", encoding="utf-8", errors="replace") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as pip,
    ):
        assert pip.stdout is not None
        for line in pip.stdout:
            log.write(line)
            last = [*last[-KEEP_LINES + 1 :], line]
            now = time.monotonic()
            if step := STEP.match(line):
                if now - shown >= 5:
                    shown = now
                    print(f"  compiling {building} {step[1]}/{step[2]}, {now - started:.0f} s", flush=True)
            elif (note := NOTABLE.match(line)) and note[1] == "Building wheel for":
                building = note[2]
                print(f"  building {building}", flush=True)
            elif note and note[1] == "Collecting" and now - shown >= 5:
                shown = now
                print(f"  fetching {note[2]}", flush=True)
    if pip.returncode != 0:
        print("".join(last), file=sys.stderr)
        print(f"error: pip failed with status {pip.returncode}; the whole log is in {log_path}", file=sys.stderr)
        print(
            "hint: it needs a C++ compiler, Python's headers and the package index; then run make again",
            file=sys.stderr,
        )
        return 1
    print(f"  done in {time.monotonic() - started:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # pip heard it too and ends by itself
        print("\nstopped; run make demo again: what was downloaded and compiled is kept", file=sys.stderr)
        sys.exit(130)
