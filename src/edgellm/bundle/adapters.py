"""Adapters of a bundle: their names, and where their files lie inside."""

from __future__ import annotations

import re

from edgellm.errors import UsageError

__all__ = ["ADAPTERS_LIMIT", "adapter_name", "adapter_path", "is_adapter_name", "parse_adapter_name"]

ADAPTERS_LIMIT = 64  # of one bundle
_NAME = re.compile(r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*")
_NAME_LIMIT = 64
_FOLDER, _SUFFIX = "adapters/", ".gguf"


def is_adapter_name(text: str) -> bool:
    """True for a name as it stands in a plan: a-z and 0-9, with . _ - between them."""
    return len(text) <= _NAME_LIMIT and _NAME.fullmatch(text) is not None


def parse_adapter_name(text: str) -> str:
    """Read a name as given to --adapter; capitals are folded. Raises UsageError."""
    folded = text.strip().lower()
    if not is_adapter_name(folded):
        shown = repr(text if len(text) <= 80 else f"{text[:77]}...")
        better = re.sub(r"[^a-z0-9._-]+", "-", folded)[:_NAME_LIMIT].strip("._-") or "my-adapter"
        raise UsageError(
            f"{shown} is not the name of an adapter",
            hint=f"use at most {_NAME_LIMIT} of a-z, 0-9 and . _ - between them; for example {better}",
        )
    return folded


def adapter_path(name: str) -> str:
    """The path of its file inside the bundle."""
    return f"{_FOLDER}{name}{_SUFFIX}"


def adapter_name(path: str) -> str | None:
    """The name of the adapter whose file has this path; None for any other path."""
    if not (path.startswith(_FOLDER) and path.endswith(_SUFFIX)):
        return None
    name = path[len(_FOLDER) : -len(_SUFFIX)]
    return name if is_adapter_name(name) else None
