"""What the store tells about a prefix on disk."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

import msgspec

from edgellm_runtimes.kv_store.key import TOKEN_BYTES, PrefixKey, PrefixKind

__all__ = ["OpenPrefix", "PrefixMatch", "StoredPrefix"]


class StoredPrefix(msgspec.Struct, frozen=True):
    """One prefix on disk. ``tokens`` are little-endian int32."""

    name: str  # of its file
    key: PrefixKey
    kind: PrefixKind
    scope: str  # a digest; empty for everybody
    tokens: bytes
    state_bytes: int
    size_bytes: int  # of the whole file
    inode: int
    last_used: float  # seconds since 1970, a day coarse

    @property
    def n_tokens(self) -> int:
        """Number of tokens whose state it is."""
        return len(self.tokens) // TOKEN_BYTES

    def shared_with(self, tokens: bytes) -> int:
        """Number of tokens that it and ``tokens`` begin with."""
        low, high = 0, min(len(self.tokens), len(tokens)) // TOKEN_BYTES
        while low < high:  # equal up to low, and maybe up to high
            middle = (low + high + 1) // 2
            if (
                self.tokens[low * TOKEN_BYTES : middle * TOKEN_BYTES]
                == tokens[low * TOKEN_BYTES : middle * TOKEN_BYTES]
            ):
                low = middle
            else:
                high = middle - 1
        return low


class PrefixMatch(msgspec.Struct, frozen=True):
    """A prefix that helps: after restoring its ``prefix.n_tokens`` tokens, keep the first ``length``."""

    prefix: StoredPrefix
    length: int


class OpenPrefix:
    """A prefix whose state was read and found whole; stays readable until ``close``, whoever removes its file."""

    def __init__(self, prefix: StoredPrefix, path: Path, descriptor: int) -> None:
        self.prefix = prefix
        self._descriptor = descriptor
        held = Path(f"/proc/self/fd/{descriptor}")
        self.path = held if held.exists() else path  # where the state is at the start

    def close(self) -> None:
        """Let go of the file. Calling it again does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> OpenPrefix:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
