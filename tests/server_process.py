"""A real server in a process of its own, over a store that a test may use."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

__all__ = ["RunningServer", "free_port", "running_server"]

_START_S = 60.0


@dataclass
class RunningServer:
    """``url`` answers until the block ends; ``log`` is the file that its stderr goes to."""

    url: str
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def client(self, **options: object) -> httpx.Client:
        """A client of this server alone."""
        return httpx.Client(base_url=self.url, timeout=60, trust_env=False, **options)  # type: ignore[arg-type]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running_server(
    home: Path, log: Path, *arguments: str, environment: dict[str, str] | None = None
) -> Iterator[RunningServer]:
    """`edgellm serve` over the store in ``home``; at the end it is told to stop and must do so without an error."""
    port = free_port()
    command = [sys.executable, "-m", "edgellm.cli.main", "serve", "--port", str(port), *arguments]
    environ = {**os.environ, "EDGELLM_HOME": str(home), **(environment or {})}
    with log.open("wb") as sink, subprocess.Popen(command, env=environ, stdout=sink, stderr=sink) as process:
        server = RunningServer(f"http://127.0.0.1:{port}", port, process, log)
        try:
            _wait(server)
            yield server
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
    assert "Traceback" not in log.read_text(errors="replace"), log.read_text(errors="replace")


def _wait(server: RunningServer) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until:
        assert server.process.poll() is None, server.log.read_text(errors="replace")
        with contextlib.suppress(httpx.TransportError), server.client() as client:
            client.get("/health").raise_for_status()  # the only one that never needs a key
            return
        time.sleep(0.02)
    raise AssertionError(f"no answer within {_START_S:g} s: {server.log.read_text(errors='replace')}")
