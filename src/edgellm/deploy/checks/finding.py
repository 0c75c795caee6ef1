"""What a check says."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["Finding", "Status", "fine", "problem", "skipped", "warning"]

Status = Literal["ok", "warning", "problem", "skipped"]


class Finding(msgspec.Struct, frozen=True):
    """One answer. A warning or a problem has exactly one fix, anything else has none."""

    check: str
    status: Status
    message: str
    fix: str | None = None  # a command, or what to do in words


def fine(check: str, message: str) -> Finding:
    """All is well, or this is only information."""
    return Finding(check, "ok", message)


def warning(check: str, message: str, fix: str) -> Finding:
    """It works, but not as well as it could, or not for long."""
    return Finding(check, "warning", message, fix)


def problem(check: str, message: str, fix: str) -> Finding:
    """It does not work."""
    return Finding(check, "problem", message, fix)


def skipped(check: str, message: str) -> Finding:
    """It could not be looked at here."""
    return Finding(check, "skipped", message)
