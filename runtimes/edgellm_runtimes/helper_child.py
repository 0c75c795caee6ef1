"""The child's side of a helper: answers requests until its parent ends, within limits of time and memory.

Protocol on stdin and stdout: a 4-byte big-endian length, then a JSON object. A request names its ``timeout_s``, and
``cpu_s`` where its processor time has a limit of its own; an alarm ends the process then, whatever it does. The kernel
takes this process first when memory is short.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
from collections.abc import Callable
from io import RawIOBase
from typing import Any, BinaryIO

__all__ = ["serve_requests"]

_IDLE_S = 60.0


def serve_requests(answer: Callable[[dict[str, Any]], dict[str, str]], memory_bytes: int) -> None:
    """Serve until stdin ends or nothing was asked for a minute. ``memory_bytes`` of address space are allowed."""
    source = os.fdopen(os.dup(0), "rb", buffering=0)  # unbuffered: select must see what is there
    target = os.fdopen(os.dup(1), "wb")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process, even inside one long C call
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123
        file.write("1000")
    _serve(answer, source, target)


def _serve(answer: Callable[[dict[str, Any]], dict[str, str]], source: RawIOBase, target: BinaryIO) -> None:
    while True:
        readable, _, _ = select.select([source], [], [], _IDLE_S)
        if not readable:
            return
        header = _read_exactly(source, 4)
        raw = _read_exactly(source, int.from_bytes(header, "big")) if header else b""
        if not raw:
            return
        request = json.loads(raw)
        signal.setitimer(signal.ITIMER_REAL, request["timeout_s"])
        signal.setitimer(signal.ITIMER_PROF, request.get("cpu_s", 0))
        reply = json.dumps(answer(request)).encode("ascii")
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        target.write(len(reply).to_bytes(4, "big") + reply)
        target.flush()


def _read_exactly(stream: RawIOBase, size: int) -> bytes:
    """``size`` bytes, or nothing when the stream ends before."""
    data = bytearray()
    while len(data) < size:
        part = stream.read(size - len(data))
        if not part:
            return b""
        data += part
    return bytes(data)
