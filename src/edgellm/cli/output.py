"""Where a command may write a bundle: a new folder or FILE.tar."""

from __future__ import annotations

from pathlib import Path

from edgellm.errors import UsageError
from edgellm.files import os_errors

__all__ = ["check_output", "is_archive"]

_OTHER_FILES = (".gguf", ".gz", ".tgz", ".xz", ".zip", ".zst")


def is_archive(target: Path) -> bool:
    """True for the name of an archive, False for the name of a folder."""
    return target.name.endswith(".tar")


def check_output(target: Path, *, force: bool, what: str) -> None:
    """Refuse, before any work, a place that cannot be written to. ``what`` names the option or argument.

    Raises UsageError.
    """
    if target.suffix in _OTHER_FILES:
        raise UsageError(f"{what} takes a folder or FILE.tar, not {target.name}")
    with os_errors(f"write {target}"):
        if target.is_file() and not (force and is_archive(target)):
            raise UsageError(f"{target} exists already", hint=f"give {what} another place, or --force for a FILE.tar")
        if target.is_dir() and any(target.iterdir()):
            raise UsageError(f"{target} exists already and is not empty", hint=f"give {what} another place")
