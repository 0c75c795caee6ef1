"""The parent's side of a helper: a child process that works on what others wrote, and that may die of it."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import threading
import time

from edgellm.errors import BackendError
from edgellm_runtimes.helper_child import GREETING

__all__ = ["HelperProcess"]

_START_S = 30.0  # for the interpreter to come up on a slow board
_GRACE_S = 2.0  # after the child's own alarm


class HelperProcess:
    """A child that runs ``module`` (see ``helper_child``), started when first needed. ``what`` names it in errors.

    It answers one request at a time; any thread may ask. The child ends with this process (its stdin closes), at the
    deadline of a request, and after a minute without work.
    """

    def __init__(self, module: str, what: str) -> None:
        self._module = module
        self._what = what
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._is_up = False  # the child has said so
        self._owner = os.getpid()

    def ask(self, request: bytes, timeout_s: float) -> bytes | int:
        """The child's answer to ``request``, or its exit status, negative for a signal, when it died of it.

        ``request`` is a JSON object that names the same ``timeout_s``. Raises BackendError when no child starts: what
        ends before it has greeted did not die of the request.
        """
        with self._lock:
            for _attempt in range(2):
                fresh = self._ensure_child()
                answer = self._exchange(request, timeout_s + _GRACE_S + (_START_S if fresh else 0))
                if answer:
                    return answer
                is_up, status = self._is_up, self._reap()
                if status != 0 and is_up:  # 0: it was leaving for lack of work just now
                    return status
        raise BackendError(f"{self._what} does not start", hint="try again; EDGELLM_DEBUG=1 shows its output")

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
        self._is_up = False
        debug = os.environ.get("EDGELLM_DEBUG") == "1"
        try:
            self._child = subprocess.Popen(
                # -P: a module in the working folder must not stand in for one of ours
                [sys.executable, "-P", "-m", self._module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=None if debug else subprocess.DEVNULL,
            )
        except OSError as error:
            raise BackendError(f"{self._what} cannot be started: {error}") from error
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
                    if not self._is_up and len(received) >= len(GREETING):
                        del received[: len(GREETING)]
                        self._is_up = True
                    if self._is_up and len(received) >= 4 and len(received) >= 4 + int.from_bytes(received[:4], "big"):
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
