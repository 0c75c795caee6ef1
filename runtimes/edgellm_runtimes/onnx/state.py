"""The KV cache of one sequence as a file: a header, then the tokens as they lie in memory, head by head."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgellm.errors import BackendError
from edgellm_runtimes.checks import FULL_DISK, no_space

if TYPE_CHECKING:
    from edgellm_runtimes.onnx.kv_cache import KvCache

__all__ = ["read_state", "state_bytes", "write_state"]

_MAGIC = b"EDGEKV1\n"
_HEADER = struct.Struct("<8s6I")  # magic, tokens, arrays, heads, head size, bytes of an element, 0


def state_bytes(cache: KvCache, length: int) -> int:
    """What ``write_state`` writes for ``length`` tokens."""
    return _HEADER.size + length * cache.token_bytes


def write_state(cache: KvCache, sequence: int, length: int, path: Path) -> None:
    """Write the first ``length`` tokens of ``sequence`` to ``path``. Raises NoSpaceError, BackendError."""
    try:
        with path.open("wb") as file:
            file.write(_header(cache, length))
            for part in cache.parts(sequence, length):
                file.write(part.view(np.uint8).data)
    except OSError as error:
        if error.errno in FULL_DISK:
            raise no_space(path) from error
        raise BackendError(f"could not save the state of sequence {sequence} to {path}: {error.strerror}") from error


def read_state(cache: KvCache, sequence: int, length: int, path: Path) -> None:
    """Fill ``sequence``, which is empty, with the ``length`` tokens that ``path`` begins with. Raises BackendError."""
    try:
        with path.open("rb") as file:
            if file.read(_HEADER.size) != _header(cache, length):
                raise BackendError(f"{path} does not hold the state of {length} tokens of this model")
            for part in cache.parts(sequence, length):
                room = part.view(np.uint8).reshape(-1)
                if file.readinto(room.data) != len(room):
                    raise BackendError(f"the state in {path} is cut off")
    except OSError as error:
        raise BackendError(f"could not restore the state in {path}: {error.strerror}") from error
    finally:
        cache.touch(sequence, length)
    cache.wrote(sequence, length)


def _header(cache: KvCache, length: int) -> bytes:
    heads, head_size, item_bytes = cache.layout
    return _HEADER.pack(_MAGIC, length, len(cache.arrays), heads, head_size, item_bytes, 0)
