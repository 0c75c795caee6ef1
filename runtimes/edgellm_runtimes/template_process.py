"""The parent's side of the template renderer: one child process, started when first needed."""

from __future__ import annotations

import atexit
import functools
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from edgellm.errors import BackendError, UsageError
from edgellm.units import format_bytes

__all__ = ["TemplateProcess", "shared_process"]

_START_S = 30.0  # for the interpreter to come up on a slow board
_GRACE_S = 2.0  # after the child's own alarm
_REQUEST_LIMIT_BYTES = 32 * 2**20


class TemplateProcess:
    """A child that renders templates one at a time. ``render`` may be called from any thread.

    The child ends with this process (its stdin closes), at its deadline, and after a minute without work.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()

    def render(
        self,
        template: str,
        variables: Mapping[str, Any],
        *,
        timeout_s: float,
        limit_characters: int,
        now: datetime | None = None,
    ) -> dict[str, str]:
        """``{"text": ...}`` or ``{"error": ..., "kind": ...}``; the kind is "time" when it did not end in time.

        ``now`` is what the template takes for the present.
        Raises UsageError for variables that JSON cannot carry, BackendError when no child can be started.
        """
        request = {
            "template": template,
            "variables": variables,
            "timeout_s": timeout_s,
            "limit_characters": limit_characters,
            "now": now.isoformat() if now is not None else None,
        }
        try:
            raw = json.dumps(request).encode("ascii")
        except (TypeError, ValueError, RecursionError) as error:
            raise UsageError(f"the messages cannot be written as JSON: {error}") from error
        if len(raw) > _REQUEST_LIMIT_BYTES:
            raise UsageError(f"the messages have {format_bytes(len(raw))}, more than any context")
        with self._lock:
            for _attempt in range(2):
                fresh = self._ensure_child()
                answer = self._exchange(raw, timeout_s + _GRACE_S + (_START_S if fresh else 0))
                if answer:
                    return dict(json.loads(answer))
                status = self._reap()
                if status != 0:  # 0: it was leaving for lack of work just now
                    return _verdict(status, timeout_s)
        raise BackendError("the template renderer does not start", hint="try again; EDGELLM_DEBUG=1 shows its output")

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._reap()

    def _ensure_child(self) -> bool:
        """Start a child unless one is there. Returns True when it is new."""
        if self._owner != os.getpid():  # after a fork the child belongs to the parent process
            self._child, self._owner = None, os.getpid()
        if self._child is not None:
            return False
        debug = os.environ.get("EDGELLM_DEBUG") == "1"
        try:
            self._child = subprocess.Popen(
                # -P: a module in the working folder must not stand in for one of ours
                [sys.executable, "-P", "-m", "edgellm_runtimes.template_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=None if debug else subprocess.DEVNULL,
            )
        except OSError as error:
            raise BackendError(f"the template renderer cannot be started: {error}") from error
        return True

    def _exchange(self, request: bytes, timeout_s: float) -> bytes:
        """Send ``request`` and wait for the answer; empty when the child ended or the time is over."""
        child = self._child
        assert child is not None
        assert child.stdin is not None
        assert child.stdout is not None
        source, target = child.stdout.fileno(), child.stdin.fileno()
        os.set_blocking(source, False)
        os.set_blocking(target, False)
        deadline = time.monotonic() + timeout_s
        unsent = memoryview(len(request).to_bytes(4, "big") + request)
        received = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(source, selectors.EVENT_READ)
            selector.register(target, selectors.EVENT_WRITE)
            while (left := deadline - time.monotonic()) > 0:
                for key, _events in selector.select(left):
                    if key.fd == target:
                        try:
                            unsent = unsent[os.write(target, unsent) :]
                        except BrokenPipeError:
                            unsent = unsent[:0]
                        if not unsent:
                            selector.unregister(target)
                        continue
                    part = os.read(source, 1 << 20)
                    if not part:
                        return b""
                    received += part
                    if len(received) >= 4 and len(received) >= 4 + int.from_bytes(received[:4], "big"):
                        return bytes(received[4:])
        return b""

    def _reap(self) -> int:
        """Make sure that the child has ended. Returns its exit status, negative for a signal."""
        child, self._child = self._child, None
        if child is None or self._owner != os.getpid():
            return 0
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()
        try:
            return child.wait(0.2)
        except subprocess.TimeoutExpired:
            child.kill()
            return child.wait()


def _verdict(status: int, timeout_s: float) -> dict[str, str]:
    if status in (-signal.SIGALRM, -signal.SIGKILL):
        return {"kind": "time", "error": f"it did not end within {timeout_s:g} s"}
    reason = "most likely for lack of memory; EDGELLM_DEBUG=1 shows its output"
    return {"kind": "memory", "error": f"its process ended with status {status}, {reason}"}


@functools.cache
def shared_process() -> TemplateProcess:
    """The one renderer of this process."""
    process = TemplateProcess()
    atexit.register(process.close)
    return process
