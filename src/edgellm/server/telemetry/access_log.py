"""One line for each request: who asked for what, what it cost, never what was said unless the server logs content."""

from __future__ import annotations

import logging
from typing import Any

from edgellm.server.telemetry.record import RequestRecord

__all__ = ["log_access"]

_LONGEST_PATH = 200


def log_access(log: logging.Logger, record: RequestRecord, duration_s: float) -> None:
    """Write the line of a request that is over. Status 499 is a client that left before its response began."""
    fields = _fields(record, duration_s)
    words = [f"{fields['method']} {fields['path']} {fields['status']} {duration_s:.3f} s"]
    words += [f"{name}={fields[name]}" for name in ("caller", "peer", "model", "generated_tokens") if name in fields]
    log.info("%s", " ".join([*words, f"id={record.id}"]), extra={"fields": fields})


def _fields(record: RequestRecord, duration_s: float) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "id": record.id,
        "caller": record.caller.name,
        "peer": record.peer,
        "method": record.method,
        "path": record.path[:_LONGEST_PATH],
        "status": record.status or 499,
        "duration_s": round(duration_s, 4),
        "sent_bytes": record.sent_bytes,
    }
    if record.model is not None:
        fields |= {
            "model": record.model,
            "prompt_tokens": record.prompt_tokens,
            "cached_tokens": record.cached_tokens,
            "generated_tokens": record.generated_tokens,
        }
    if record.first_s is not None:
        fields["first_token_s"] = round(record.first_s, 4)
    if record.keeps_content:
        fields |= {"prompt": record.prompt, "answer": "".join(record.answer)}
    return fields
