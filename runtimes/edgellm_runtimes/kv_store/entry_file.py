"""The file of one prefix, read with distrust.

::

    state      the backend's own format, at the start because the backend writes it there
    tokens     int32, little-endian
    header     canonical JSON: key, kind, scope, size and digest of the state
    trailer    BLAKE2b-256 of tokens and header; their lengths; magic

A file that ends early has no magic; whatever else is changed, one of the two digests tells.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import struct
from typing import NamedTuple

import msgspec

from edgellm.errors import IntegrityError
from edgellm_runtimes.kv_store.entry import StoredPrefix
from edgellm_runtimes.kv_store.key import TOKEN_BYTES, PrefixKey, PrefixKind, entry_name

__all__ = ["append_meta", "digest_state", "open_entry", "read_meta", "verify_state"]

_MAGIC = b"edgekv\x01\n"
_TRAILER = struct.Struct("<32sII8s")
_MOST_TOKENS = 2**24
_LONGEST_HEADER = 2**16
_CHUNK_BYTES = 1 << 20
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: PrefixKey
    kind: PrefixKind
    scope: str
    state_bytes: int
    state_digest: str


class EntryMeta(NamedTuple):
    """A prefix without its state, and the digest that the state must have."""

    prefix: StoredPrefix
    state_digest: str


def append_meta(descriptor: int, key: PrefixKey, kind: PrefixKind, scope: str, tokens: bytes, state_bytes: int) -> int:
    """Make a whole file of the open one that holds a state of ``state_bytes``; returns its size. Raises OSError."""
    header = _Header(key, kind, scope, state_bytes, digest_state(descriptor, state_bytes))
    meta = tokens + msgspec.json.encode(header, order="sorted")
    trailer = _TRAILER.pack(_digest(meta), len(tokens) // TOKEN_BYTES, len(meta) - len(tokens), _MAGIC)
    data = memoryview(meta + trailer)
    end = state_bytes + len(data)
    while data:
        written = os.pwrite(descriptor, data, end - len(data))
        data = data[written:]
    os.ftruncate(descriptor, end)
    return end


def open_entry(folder_descriptor: int, name: str) -> int:
    """Open a file of the cache. Raises IntegrityError for what is no file that this user alone can write.

    Raises OSError when it cannot be read, and PermissionError for another user's: that is not ours to remove.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, dir_fd=folder_descriptor)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):  # what a link is called here and on BSD
            raise IntegrityError(f"{name} is a link") from error
        raise
    facts = os.fstat(descriptor)
    if facts.st_uid == os.geteuid() and stat.S_ISREG(facts.st_mode) and not facts.st_mode & _OTHERS_MAY_WRITE:
        return descriptor
    os.close(descriptor)
    if facts.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "it belongs to another user", name)
    raise IntegrityError(f"{name} is not a file that this user alone can write")


def read_meta(descriptor: int, name: str) -> EntryMeta:
    """What the open file ``name`` is; the state is not read. Raises IntegrityError, OSError."""
    facts = os.fstat(descriptor)
    trailer = os.pread(descriptor, _TRAILER.size, max(0, facts.st_size - _TRAILER.size))
    if len(trailer) < _TRAILER.size:
        raise IntegrityError(f"{name} is too short")
    digest, n_tokens, header_bytes, magic = _TRAILER.unpack(trailer)
    meta_bytes = n_tokens * TOKEN_BYTES + header_bytes
    state_bytes = facts.st_size - _TRAILER.size - meta_bytes
    if magic != _MAGIC or not 0 < n_tokens <= _MOST_TOKENS or header_bytes > _LONGEST_HEADER or state_bytes <= 0:
        raise IntegrityError(f"{name} does not end as a saved prefix does")
    meta = os.pread(descriptor, meta_bytes, state_bytes)
    if _digest(meta) != digest:
        raise IntegrityError(f"{name} is damaged")
    tokens, raw = meta[: n_tokens * TOKEN_BYTES], meta[n_tokens * TOKEN_BYTES :]
    try:
        header = msgspec.json.decode(raw, type=_Header)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise IntegrityError(f"{name} has a header that cannot be read: {error}") from error
    if header.state_bytes != state_bytes or entry_name(header.key, header.kind, header.scope, tokens) != name:
        raise IntegrityError(f"{name} is not what its name says")
    prefix = StoredPrefix(
        name=name,
        key=header.key,
        kind=header.kind,
        scope=header.scope,
        tokens=tokens,
        state_bytes=state_bytes,
        size_bytes=facts.st_size,
        inode=facts.st_ino,
        last_used=facts.st_mtime,
    )
    return EntryMeta(prefix, header.state_digest)


def verify_state(descriptor: int, meta: EntryMeta) -> None:
    """Read the whole state. Raises IntegrityError when it is not what was written, OSError."""
    if digest_state(descriptor, meta.prefix.state_bytes) != meta.state_digest:
        raise IntegrityError(f"{meta.prefix.name} is damaged")


def digest_state(descriptor: int, state_bytes: int) -> str:
    """BLAKE2b-256 of the first ``state_bytes`` of an open file, in hex; of fewer where it ends early."""
    state, position = hashlib.blake2b(digest_size=32), 0
    buffer = memoryview(bytearray(min(_CHUNK_BYTES, max(state_bytes, 1))))
    while position < state_bytes:
        count = os.preadv(descriptor, [buffer[: min(len(buffer), state_bytes - position)]], position)
        if not count:
            break
        state.update(buffer[:count])
        position += count
    return state.hexdigest()


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=32).digest()
