"""Python modules of ours run as child processes: they end with their parent, and what ends them becomes an error.

Native code that meets a CPU it was not built for, or a file that it does not expect, ends its process. The child ends;
the caller gets an error that names the signal.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from edgellm import errors
from edgellm.errors import BackendError, EdgeLLMError
from edgellm.pip import REBUILD_LLAMA, pip_install
from edgellm.progress import CancelToken

__all__ = ["SIGNAL_HINTS", "answer_error", "begin_child", "run_child"]

Answer = TypeVar("Answer")

_POLL_S = 0.1
SIGNAL_HINTS = {
    "SIGILL": f"llama.cpp was built for another CPU: {pip_install(REBUILD_LLAMA)}",
    "SIGKILL": "most likely memory ran out: close other programs, or choose a smaller recipe",
}
"""What to do about a child that ended by this signal."""


def run_child(
    module: str,
    arguments: Sequence[str],
    answer_type: type[Answer],
    *,
    what: str,
    subject: str,
    timeout_s: float,
    cancel: CancelToken,
) -> Answer:
    """What ``python -m module arguments`` writes to stdout: one ``answer_type`` as JSON.

    ``what`` ("the smoke test of ...") and ``subject`` name it in errors. Raises the error that the child met (see
    ``answer_error``); BackendError when it crashes, answers nothing or does not end within ``timeout_s`` seconds;
    Interrupted. The child ends with this process, however that ends.
    """
    command = [sys.executable, "-P", "-m", module, *arguments]
    try:
        done = _watched(command, timeout_s, cancel)
    except subprocess.TimeoutExpired as error:
        raise BackendError(f"{what} did not end within {timeout_s:g} s") from error
    except OSError as error:
        raise BackendError(f"{what} cannot be started: {error}") from error
    if done.returncode < 0:
        raise _crash(subject, -done.returncode)
    try:
        answer = json.loads(done.stdout)
        if "error" in answer:
            raise _rebuild(answer["error"])
        return msgspec.convert(answer, answer_type)
    except (ValueError, msgspec.ValidationError) as error:
        detail = done.stderr.decode("utf-8", "replace").strip()[-500:]
        raise BackendError(f"{what} ended with status {done.returncode}: {detail or 'no output'}") from error


def begin_child(parent_fd: int | None) -> None:
    """What a child does first: leave no core dump, and end when the parent's end of the pipe ``parent_fd`` closes."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if parent_fd is None:
        return

    def wait() -> None:
        while os.read(parent_fd, 1):
            pass
        os._exit(os.EX_TEMPFAIL)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()


def answer_error(error: EdgeLLMError) -> int:
    """Write ``error`` as the child's answer. Returns the exit status."""
    fields = {"type": type(error).__name__, "message": error.message, "hint": error.hint}
    sys.stdout.write(json.dumps({"error": fields}) + "\n")
    return error.exit_code


def _watched(command: list[str], timeout_s: float, cancel: CancelToken) -> subprocess.CompletedProcess[bytes]:
    """Run ``command`` until it ends, the time is over or somebody cancels.

    It has a session of its own, so that Ctrl-C reaches it through us alone, and the reading end of a pipe whose writing
    end only this process holds: when that closes, it ends itself.
    """
    parent_fd, alive_fd = os.pipe()
    try:
        child = subprocess.Popen(
            [*command, "--parent-fd", str(parent_fd)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(parent_fd,),
            start_new_session=True,
        )
        deadline = time.monotonic() + timeout_s
        try:
            while True:
                try:
                    out, err = child.communicate(timeout=_POLL_S)
                except subprocess.TimeoutExpired:
                    cancel.check()
                    if time.monotonic() > deadline:
                        raise
                else:
                    return subprocess.CompletedProcess(command, child.returncode, out, err)
        finally:
            if child.poll() is None:
                child.kill()
                child.communicate()
    finally:
        os.close(parent_fd)
        os.close(alive_fd)


def _crash(subject: str, number: int) -> BackendError:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return BackendError(f"the runtime crashed ({name}) on {subject}", hint=SIGNAL_HINTS.get(name))


def _rebuild(fields: dict[str, str | None]) -> EdgeLLMError:
    """The error that the child met, as the same class."""
    kind: type[EdgeLLMError] = getattr(errors, fields["type"] or "", BackendError)
    return kind(fields["message"] or "", hint=fields["hint"])
