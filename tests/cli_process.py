"""The command line as a user calls it: a process of its own, with its own home."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Cli:
    """Runs ``edgellm`` with EDGELLM_HOME in ``home``."""

    home: Path

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "EDGELLM_HOME": str(self.home), "PYTHONUTF8": "0"}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "edgellm.cli.main", *map(str, arguments)]

    def run(
        self,
        *arguments: str | Path,
        status: int = 0,
        stdin: bytes = b"",
        cwd: Path | None = None,
        environment: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run and compare the exit status; a traceback is never right."""
        done = subprocess.run(
            self.command(*map(str, arguments)),
            env=self.environment | (environment or {}),
            input=stdin,
            capture_output=True,
            cwd=cwd,
            timeout=300,
            check=False,
        )
        out, err = done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
        assert done.returncode == status, f"{arguments} ended with {done.returncode}:\n{out}\n{err}"
        assert "Traceback" not in err, err
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def json(self, *arguments: str | Path, status: int = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", status=status).stdout)

    def json_in(self, folder: Path, *arguments: str | Path) -> Any:
        return json.loads(self.run(*arguments, "--json", cwd=folder).stdout)

    def start(self, *arguments: str | Path) -> subprocess.Popen[bytes]:
        """Start without waiting."""
        return subprocess.Popen(
            self.command(*map(str, arguments)),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def read_until(process: subprocess.Popen[bytes], text: bytes) -> list[bytes]:
    """Lines on stderr up to the one with ``text``."""
    assert process.stderr is not None
    lines: list[bytes] = []
    while not lines or text not in lines[-1]:
        lines.append(process.stderr.readline())
        assert lines[-1], b"".join(lines)
    return lines
