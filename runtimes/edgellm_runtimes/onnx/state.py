"""The KV cache of one sequence as a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgellm.files import os_errors
from edgellm_runtimes.checks import FULL_DISK, no_space

if TYPE_CHECKING:
    from edgellm_runtimes.onnx.kv_cache import KvCache

__all__ = ["write_state"]


def write_state(cache: KvCache, sequence: int, length: int, path: Path) -> None:
    """Write the first ``length`` tokens of ``sequence`` to ``path``. Raises NoSpaceError, AccessError."""
    try:
        with path.open("wb", buffering=0) as file:
            cache.write_to(sequence, length, file)
    except OSError as error:
        if error.errno in FULL_DISK:
            raise no_space(path) from error
        with os_errors(f"save the state of a sequence to {path}"):
            raise
