"""Paths inside structs that travel to another process, as msgspec's hooks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["decode_path", "encode_path"]


def encode_path(value: Any) -> Any:
    """A path as text."""
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(f"{type(value).__name__} cannot be sent")


def decode_path(kind: type[Any], value: Any) -> Any:
    """A text as a path."""
    if issubclass(kind, Path):
        return Path(value)
    raise NotImplementedError(f"{kind.__name__} cannot be received")
