"""API keys at rest: a file of the user's with a hash of each key, never the key itself.

A key is 256 random bits, so that one round of SHA-256 is enough to keep it from being guessed from its hash.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from edgellm.errors import AccessError, NotFoundError, UsageError
from edgellm.files import os_errors, read_small_file, write_atomic

__all__ = ["ApiKey", "KeyFile", "hash_key"]

_PREFIX = "sk-edgellm-"
_KEY_BYTES = 32
_LIMIT_BYTES = 1 << 20
_MODE = 0o600
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


class ApiKey(msgspec.Struct, frozen=True):
    """A key as it is stored. ``created`` is in seconds since the epoch."""

    name: str
    sha256: str
    created: float

    @property
    def scope(self) -> str:
        """What its holder computes is kept apart under this name; another key of the same name has another."""
        return f"key-{self.sha256[:16]}"


class _Content(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    keys: list[ApiKey]


def hash_key(key: str) -> str:
    """The hash of a key as it is stored."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


class KeyFile:
    """The file ``api-keys.json`` in the folder of settings, readable by its owner alone."""

    def __init__(self, config_folder: Path) -> None:
        self.path = config_folder / "api-keys.json"

    def read(self) -> tuple[ApiKey, ...]:
        """All keys, the oldest first. Raises AccessError when others may read the file, UsageError when it is torn."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise AccessError(f"cannot read the API keys in {self.path}: {error.strerror}") from error
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise AccessError(
                f"other users of this machine may read or change {self.path}", hint=f"chmod 600 {self.path}"
            )
        data = read_small_file(self.path, _LIMIT_BYTES, "the file of API keys")
        try:
            content = msgspec.json.decode(data, type=_Content)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UsageError(
                f"{self.path} is not a file of API keys: {error}",
                hint="remove it, and make new keys with `edgellm key add NAME`",
            ) from error
        if content.version != 1:
            raise UsageError(
                f"{self.path} is of version {content.version}; this edgellm knows 1", hint="update edgellm"
            )
        return tuple(content.keys)

    def add(self, name: str) -> str:
        """Make a key called ``name`` and return it: this is the only time that it can be read. Raises UsageError."""
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"{name!r} cannot be the name of a key",
                hint="use up to 64 letters, digits and . _ @ -, such as kitchen-pi",
            )
        with self._changing() as keys:
            if any(key.name == name for key in keys):
                raise UsageError(
                    f"there is a key {name} already", hint=f"choose another name, or `edgellm key revoke {name}` first"
                )
            key = _PREFIX + secrets.token_urlsafe(_KEY_BYTES)
            keys.append(ApiKey(name, hash_key(key), round(time.time(), 3)))
        return key

    def revoke(self, name: str) -> None:
        """Forget the key called ``name``; a server that runs refuses it from now on. Raises NotFoundError."""
        with self._changing() as keys:
            kept = [key for key in keys if key.name != name]
            if len(kept) == len(keys):
                raise NotFoundError(f"there is no key {name!r}", hint="`edgellm key list` shows them")
            keys[:] = kept

    @contextmanager
    def _changing(self) -> Iterator[list[ApiKey]]:
        """The keys to be changed, by one process at a time; written when the block ends well."""
        with os_errors(f"write the API keys to {self.path}"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                keys = list(self.read())
                yield keys
                write_atomic(self.path, msgspec.json.format(msgspec.json.encode(_Content(1, keys))), mode=_MODE)
            finally:
                os.close(lock)
