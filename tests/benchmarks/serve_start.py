"""How long `edgellm serve` takes until it answers, and what it takes of memory then, without a model.

    python tests/benchmarks/serve_start.py [--starts 10]

Beside it stands what the same interpreter takes to start and import the libraries of the server and nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

LIBRARIES = "import asyncio, click, msgspec, ssl, starlette.applications, uvicorn"
IDLE_S = 3.0
LOOK_S = 0.002
LONGEST_START_S = 60.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=10)
    starts = parser.parse_args().starts
    with tempfile.TemporaryDirectory() as folder:
        start(Path(folder), lambda _process: None)  # what Python compiles is compiled, what is read is in memory
        libraries_s = [import_libraries() for _ in range(starts)]
        ready_s = [start(Path(folder), lambda _process: None) for _ in range(starts)]
        idle: dict[str, float] = {}
        start(Path(folder), lambda process: idle.update(memory_mb(process)))
    shown = {"ready_s": ready_s, "interpreter_and_libraries_s": libraries_s}
    for name, times in shown.items():
        print(f"{name}: median {statistics.median(times):.3f}, {min(times):.3f} to {max(times):.3f}")
    print(f"idle_mb: {json.dumps(idle)}")


def import_libraries() -> float:
    """Seconds of a process that imports the libraries."""
    begun = time.monotonic()
    subprocess.run([sys.executable, "-c", LIBRARIES], check=True)
    return time.monotonic() - begun


def start(home: Path, look: Callable[[subprocess.Popen[bytes]], None]) -> float:
    """Seconds from starting a server to the end of its first answer over the Unix socket; then ``look`` at it."""
    path = home / "s"
    command = [sys.executable, "-m", "edgellm.cli.entry"]
    if (script := Path(sys.executable).with_name("edgellm")).exists():
        command = [str(script)]
    environment = {**os.environ, "EDGELLM_HOME": str(home)}
    options = ["serve", "--quiet", "--port", "0", "--socket", str(path)]
    begun = time.monotonic()
    with subprocess.Popen([*command, *options], env=environment, stdout=subprocess.DEVNULL) as process:
        while not answers(path):
            if process.poll() is not None or time.monotonic() - begun > LONGEST_START_S:
                process.kill()
                sys.exit("the server does not answer")
            time.sleep(LOOK_S)
        ready_s = time.monotonic() - begun
        look(process)
        process.terminate()
    return ready_s


def answers(path: Path) -> bool:
    """True when a request is answered."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(LONGEST_START_S)
        client.connect(str(path))
        client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return client.recv(64).startswith(b"HTTP/1.1 200")
    return False


def memory_mb(process: subprocess.Popen[bytes]) -> dict[str, float]:
    """Resident memory once it idles, and that of its children."""
    time.sleep(IDLE_S)
    server = psutil.Process(process.pid)
    children = sum(child.memory_info().rss for child in server.children(recursive=True))
    return {"server_rss": server.memory_info().rss / 1e6, "children_rss": children / 1e6}


if __name__ == "__main__":
    main()
