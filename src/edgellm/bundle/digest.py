"""SHA-256 digests in the form that OCI writes them: ``sha256:<64 hex digits>``."""

from __future__ import annotations

import hashlib
import io
import re

from edgellm.errors import BundleError, UnsupportedError
from edgellm.progress import CancelToken, Progress

__all__ = ["check_digest", "digest_hex", "sha256_bytes", "sha256_stream", "short_digest"]

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_OTHER_ALGORITHM = re.compile(r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]{1,256}")
_CHUNK_BYTES = 1 << 20


def sha256_bytes(data: bytes) -> str:
    """The digest of ``data``."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def sha256_stream(
    stream: io.FileIO, size_bytes: int, *, progress: Progress | None = None, cancel: CancelToken | None = None
) -> tuple[str, int]:
    """The digest of the next ``size_bytes`` bytes of ``stream``, and how many were there (fewer at an early end).

    ``progress`` counts the bytes. Raises Interrupted when ``cancel`` was asked to.
    """
    state, left = hashlib.sha256(), size_bytes
    buffer = memoryview(bytearray(min(_CHUNK_BYTES, max(size_bytes, 1))))
    while left > 0:
        count = stream.readinto(buffer[: min(left, len(buffer))])
        if not count:
            break
        state.update(buffer[:count])
        left -= count
        if progress is not None:
            progress.advance(count)
        if cancel is not None:
            cancel.check()
    return f"sha256:{state.hexdigest()}", size_bytes - left


def check_digest(text: str, what: str) -> str:
    """``text`` when it is a SHA-256 digest. Raises BundleError, or UnsupportedError for another algorithm."""
    if _DIGEST.fullmatch(text):
        return text
    if _OTHER_ALGORITHM.fullmatch(text) and not text.startswith("sha256:"):
        raise UnsupportedError(f"{what} uses the digest algorithm {text.split(':')[0]!r}; only sha256 is supported")
    raise BundleError(f"{what} has {text[:80]!r} where a digest (sha256:...) should be")


def digest_hex(digest: str) -> str:
    """The hex digits of a checked digest: the file name of its blob."""
    return digest.removeprefix("sha256:")


def short_digest(digest: str) -> str:
    """The first twelve hex digits, as listings show them."""
    return digest_hex(digest)[:12]
