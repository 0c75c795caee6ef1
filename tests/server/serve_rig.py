"""Servers of a test's own: started, asked, ended."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

__all__ = ["Serving", "serve_command", "serving", "wait_until"]

_START_S = 60.0
_END_S = 60.0


@dataclass
class Serving:
    """A server process. ``told`` is what it said when it was ready."""

    process: subprocess.Popen[bytes]
    log: Path
    told: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return str(self.told["url"])

    @property
    def socket(self) -> str:
        return str(self.told["socket"])

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def client(self, **options: Any) -> httpx.Client:
        """A client over TCP."""
        return httpx.Client(base_url=self.url, timeout=60, trust_env=False, **options)

    def unix_client(self) -> httpx.Client:
        """A client over the Unix socket."""
        return httpx.Client(transport=httpx.HTTPTransport(uds=self.socket), base_url="http://localhost", timeout=60)

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """Its exit status, once it has ended."""
        return self.process.wait(_END_S)

    def stop(self) -> int:
        """End it as a service manager does; its exit status."""
        self.signal()
        return self.wait()

    def said(self) -> str:
        """What it wrote to stderr."""
        return self.log.read_text(errors="replace")

    def is_ready(self) -> None:
        """Wait for the line that says where it answers."""
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], _START_S)
        line = self.process.stdout.readline() if readable else b""
        assert line, self.said()
        self.told = json.loads(line)


def serve_command(*arguments: str | Path) -> list[str]:
    """The command line of a server that says as JSON where it answers."""
    return [sys.executable, "-m", "edgellm.cli.main", "serve", "--json", *map(str, arguments)]


@contextlib.contextmanager
def serving(
    home: Path,
    *arguments: str | Path,
    environment: dict[str, str] | None = None,
    command: Sequence[str] | None = None,
    ready: bool = True,
    **options: Any,
) -> Iterator[Serving]:
    """A server over the store in ``home``, on a free port unless ``arguments`` say otherwise; killed at the end."""
    home.mkdir(exist_ok=True)
    log = home.parent / f"{home.name}.{time.monotonic_ns()}.log"
    port = () if any(str(each).startswith("--port") for each in arguments) else ("--port", "0")
    with (
        log.open("wb") as sink,
        subprocess.Popen(
            command or serve_command(*port, *arguments),
            env={**os.environ, "EDGELLM_HOME": str(home), **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=sink,
            **{"stdin": subprocess.DEVNULL, **options},
        ) as process,
    ):
        server = Serving(process, log)
        try:
            if ready:
                server.is_ready()
            yield server
        finally:
            process.kill()
            process.wait(_END_S)
    assert "Traceback" not in server.said(), server.said()


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = _START_S) -> None:
    """Look until ``condition`` holds."""
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, f"{what}: not within {timeout_s:g} s"
        time.sleep(0.01)
