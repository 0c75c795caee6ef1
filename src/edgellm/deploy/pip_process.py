"""Runs pip in a process of its own: its log in a file, its steps as progress, stopped with everything it started."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgellm.errors import BackendError, UnsupportedError, UsageError
from edgellm.files import os_errors
from edgellm.progress import CancelToken, Progress

__all__ = ["Pip", "require_pip"]

_NOTABLE = re.compile(r"\s*(Collecting|Building wheel for) ([A-Za-z0-9._-]+)")
_STEP = re.compile(r"\s*\[(\d+)/(\d+)\]")
_SHOW_EVERY_S = 10.0
_KEPT_LINES = 30
_STOP_S = 10.0


class Pip:
    """The pip of one interpreter."""

    def __init__(self, python: Path, log: Path, progress: Progress, cancel: CancelToken) -> None:
        """``log`` receives everything that pip says, call after call."""
        self.python = python
        self._log, self._progress, self._cancel = log, progress, cancel

    def run(self, arguments: Sequence[str | Path], environ: Mapping[str, str] | None = None) -> None:
        """``python -m pip ARGUMENTS``, with ``environ`` added to this process's variables.

        Raises BackendError with pip's last lines, Interrupted when cancelled.
        """
        command = [str(self.python), "-m", "pip", "--disable-pip-version-check", "--no-input", *map(str, arguments)]
        with os_errors(f"run {self.python}"), self._log.open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environ or {})},
                start_new_session=True,
            )
            try:
                last = self._follow(process, log.fileno())
            finally:
                _stop(process)
        if process.returncode != 0:
            raise BackendError(
                "pip failed:\n" + "\n".join(f"  {line}" for line in last),
                hint="it needs a C++ compiler, Python's headers, and the package index or a mirror of it",
            )

    def _follow(self, process: subprocess.Popen[bytes], log: int) -> list[str]:
        """Copy the output to the log and say what is notable, until it ends; returns its last lines."""
        assert process.stdout is not None
        descriptor = process.stdout.fileno()
        started = shown = time.monotonic()
        last: list[str] = []
        rest, phase = b"", ("", "")
        while True:
            self._cancel.check()
            if not select.select([descriptor], [], [], 0.2)[0]:
                continue
            chunk = os.read(descriptor, 65536)
            if not chunk:
                process.wait()
                return last
            os.write(log, chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            for raw in lines:
                line = raw.decode("utf-8", "replace")[:300].rstrip()
                last = [*last[-_KEPT_LINES + 1 :], line]
                if found := _NOTABLE.match(line):
                    if (found[1], found[2]) != phase:
                        phase = (found[1], found[2])
                        self._progress.phase(f"{'fetching' if found[1] == 'Collecting' else 'building'} {found[2]}")
                elif (step := _STEP.match(line)) and time.monotonic() - shown >= _SHOW_EVERY_S:
                    shown = time.monotonic()
                    self._progress.message(f"  compiled {step[1]} of {step[2]} files, {shown - started:.0f} s")


def require_pip(python: Path) -> str:
    """The interpreter's version, ``3.11``. Raises UnsupportedError without pip, UsageError when it is too old."""
    ask = "import pip, sys; print(sys.version_info[0], sys.version_info[1])"
    with os_errors(f"run {python}"):
        done = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=False)
    words = done.stdout.split()
    if done.returncode != 0 or len(words) != 2 or not all(word.isdecimal() for word in words):
        raise UnsupportedError(
            f"{python} is no Python with pip",
            hint=f"make an environment that has it: {python} -m venv build-env, then --python build-env/bin/python",
        )
    if (int(words[0]), int(words[1])) < (3, 11):
        raise UsageError(f"edgellm needs Python 3.11 or newer, {python} is {'.'.join(words)}", hint="name another one")
    return ".".join(words)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End pip and the compilers that it started; nothing happens when it has ended."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.stdout is not None:
        process.stdout.close()
