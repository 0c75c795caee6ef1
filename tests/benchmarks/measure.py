"""Runs a command and watches its process: wall time, memory by kind, bytes written. Linux: it reads /proc."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Run", "machine", "run"]

SAMPLES_PER_S = 50


@dataclass
class Run:
    """One finished command; memory and bytes are those of its own process, children apart."""

    wall_s: float = 0.0
    cpu_s: float = 0.0  # its children included
    peak_rss_bytes: int = 0  # the kernel's own high-water mark
    peak_anonymous_bytes: int = 0  # sampled
    peak_file_bytes: int = 0  # sampled: pages of mapped files
    written_bytes: int = 0  # that reached the disk
    output: str = ""


def run(command: Sequence[str], log: Path, env: dict[str, str] | None = None) -> Run:
    """Run `command` with stderr in `log`. Raises RuntimeError with the end of the log when it fails."""
    result = Run()
    before = os.times()
    started = time.perf_counter()
    with log.open("wb") as err, log.with_suffix(".out").open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=err, stdin=subprocess.DEVNULL, env=env)
        while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            _sample(process.pid, result)
            time.sleep(1 / SAMPLES_PER_S)
        result.wall_s = time.perf_counter() - started
        _written(process.pid, result)  # still there: it has not been waited for
        status = process.wait()
    after = os.times()
    result.cpu_s = (after.children_user + after.children_system) - (before.children_user + before.children_system)
    result.output = log.with_suffix(".out").read_text(encoding="utf-8", errors="replace")
    if status != 0:
        tail = log.read_text(encoding="utf-8", errors="replace")[-3000:]
        raise RuntimeError(f"{command[0]} ended with status {status}:\n{tail}")
    return result


def _sample(pid: int, result: Run) -> None:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return
    values = {}
    for line in status.splitlines():
        key, _, rest = line.partition(":")
        if key in ("VmHWM", "RssAnon", "RssFile"):
            values[key] = int(rest.split()[0]) * 1024
    result.peak_rss_bytes = max(result.peak_rss_bytes, values.get("VmHWM", 0))
    result.peak_anonymous_bytes = max(result.peak_anonymous_bytes, values.get("RssAnon", 0))
    result.peak_file_bytes = max(result.peak_file_bytes, values.get("RssFile", 0))
    _written(pid, result)


def _written(pid: int, result: Run) -> None:
    try:
        counters = Path(f"/proc/{pid}/io").read_text(encoding="ascii")
    except OSError:
        return
    for line in counters.splitlines():
        if line.startswith("write_bytes:"):
            result.written_bytes = max(result.written_bytes, int(line.split()[1]))


def machine() -> dict[str, str]:
    """What the numbers were measured on, as the kernel says it."""
    cpu = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = [int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")]
    return {
        "cpu": cpu[0] if cpu else os.uname().machine,
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory[0] / 1024**2:.1f} GiB",
        "system": f"{os.uname().sysname} {os.uname().release}",
        "load_average": f"{os.getloadavg()[0]:.2f}",
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
