"""The child's side of a helper: answers requests until its parent ends, within limits of time and memory.

Protocol on stdin and stdout: a greeting of the child once it is up; then, in either direction, a 4-byte big-endian
length and a JSON object. A request names its ``timeout_s``, and
``cpu_s`` where its processor time has a limit of its own; an alarm ends the process then, whatever it does. The kernel
takes this process first when memory is short. With ``forks`` every request has a process of its own, and one that ends
by a signal is answered with {"signal": NUMBER}: the next one does not wait for an interpreter to start.
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

__all__ = ["GREETING", "serve_requests"]

GREETING = b"up\n\0"

_IDLE_S = 60.0


def serve_requests(
    answer: Callable[[dict[str, Any]], dict[str, str]], memory_bytes: int, *, forks: bool = False
) -> None:
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
    target.write(GREETING)
    target.flush()
    _serve(_forked(answer) if forks else _timed(answer), source, target)


def _serve(answer: Callable[[dict[str, Any]], bytes], source: RawIOBase, target: BinaryIO) -> None:
    while True:
        readable, _, _ = select.select([source], [], [], _IDLE_S)
        if not readable:
            return
        header = _read_exactly(source, 4)
        raw = _read_exactly(source, int.from_bytes(header, "big")) if header else b""
        if not raw:
            return
        reply = answer(json.loads(raw))
        target.write(len(reply).to_bytes(4, "big") + reply)
        target.flush()


def _timed(answer: Callable[[dict[str, Any]], dict[str, str]]) -> Callable[[dict[str, Any]], bytes]:
    """``answer`` within the limits of its request: beyond them this process ends."""

    def timed(request: dict[str, Any]) -> bytes:
        signal.setitimer(signal.ITIMER_REAL, request["timeout_s"])
        signal.setitimer(signal.ITIMER_PROF, request.get("cpu_s", 0))
        reply = json.dumps(answer(request)).encode("ascii")
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        return reply

    return timed


def _forked(answer: Callable[[dict[str, Any]], dict[str, str]]) -> Callable[[dict[str, Any]], bytes]:
    """``answer`` in a process for each request; a limit ends that one."""
    timed = _timed(answer)

    def forked(request: dict[str, Any]) -> bytes:
        result, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                reply = memoryview(timed(request))
                while reply:
                    reply = reply[os.write(theirs, reply) :]
                os._exit(os.EX_OK)
            finally:  # a fault of ours: this process must not go on as its parent
                os.abort()
        os.close(theirs)
        with os.fdopen(result, "rb") as pipe:
            answered = pipe.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return answered if status == 0 else json.dumps({"signal": -status}).encode("ascii")

    return forked


def _read_exactly(stream: RawIOBase, size: int) -> bytes:
    """``size`` bytes, or nothing when the stream ends before."""
    data = bytearray()
    while len(data) < size:
        part = stream.read(size - len(data))
        if not part:
            return b""
        data += part
    return bytes(data)
