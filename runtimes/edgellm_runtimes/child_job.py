"""One piece of work for a child process: it goes there in a file, its answer comes back as a line of JSON."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from edgellm.errors import EdgeLLMError
from edgellm.progress import CancelToken
from edgellm_runtimes.child import answer_error, begin_child, run_child
from edgellm_runtimes.path_codec import decode_path, encode_path

__all__ = ["run_job", "serve_job"]

Answer = TypeVar("Answer")
Job = TypeVar("Job", bound=msgspec.Struct)

_TIMEOUT_S = 1800.0


def run_job(
    module: str,
    job: msgspec.Struct,
    answer_type: type[Answer],
    *,
    what: str,
    subject: str,
    timeout_s: float = _TIMEOUT_S,
    cancel: CancelToken,
) -> Answer:
    """What ``module``, run as a program that calls ``serve_job``, makes of ``job``. Raises what ``run_child`` does."""
    with tempfile.NamedTemporaryFile(prefix="edgellm-", suffix=".json") as file:
        file.write(msgspec.json.encode(job, enc_hook=encode_path))
        file.flush()
        arguments = ["--job", file.name]
        return run_child(module, arguments, answer_type, what=what, subject=subject, timeout_s=timeout_s, cancel=cancel)


def serve_job(
    module: str, about: str | None, job_type: type[Job], work: Callable[[Job], Any], arguments: list[str] | None = None
) -> int:
    """The child: one JSON line on stdout. Returns the exit status."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=about)
    parser.add_argument("--job", type=Path, required=True, help="JSON: what to do, and with what")
    parser.add_argument("--parent-fd", type=int, help="a pipe: this process ends when its other end closes")
    options = parser.parse_args(arguments)
    begin_child(options.parent_fd)
    try:
        result = work(msgspec.json.decode(options.job.read_bytes(), type=job_type, dec_hook=decode_path))
    except EdgeLLMError as error:
        return answer_error(error)
    sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    return os.EX_OK
