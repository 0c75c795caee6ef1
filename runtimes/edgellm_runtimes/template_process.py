"""The parent's side of the template renderer: one child process, started when first needed."""

from __future__ import annotations

import atexit
import functools
import json
import signal
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from edgellm.errors import UsageError
from edgellm.units import format_bytes
from edgellm_runtimes.helper_process import HelperProcess

__all__ = ["TemplateProcess", "shared_process"]

_REQUEST_LIMIT_BYTES = 32 * 2**20


class TemplateProcess(HelperProcess):
    """A child that renders templates one at a time. ``render`` may be called from any thread."""

    def __init__(self) -> None:
        super().__init__("edgellm_runtimes.template_worker", "the template renderer")

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
        answer = self.ask(raw, timeout_s)
        return _verdict(answer, timeout_s) if isinstance(answer, int) else dict(json.loads(answer))


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
