"""The prefixes that one model may use, remembered from the ends of their files."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from edgellm.errors import IntegrityError
from edgellm_runtimes.kv_store.entry import PrefixMatch, StoredPrefix
from edgellm_runtimes.kv_store.folder import cached_files, read_prefix
from edgellm_runtimes.kv_store.key import PrefixKey, PrefixKind, base_name
from edgellm_runtimes.kv_store.lock import open_folder

__all__ = ["PrefixIndex"]

_COARSE_CLOCK_S = 2.0  # two changes of a folder may carry the same time


class PrefixIndex:
    """Looks at the folder on first use, and again when it has changed. Not safe for several threads at once.

    ``rejected`` is called with the name of each file that was torn, damaged or not what its name says; it was removed.
    """

    def __init__(self, folder: Path, key: PrefixKey, rejected: Callable[[str], None]) -> None:
        self._folder = folder
        self._base = base_name(key)
        self._rejected = rejected
        self._known: dict[str, StoredPrefix] = {}
        self._seen: tuple[int, int] | None = None  # inode and mtime_ns of the folder when it was listed

    def prefixes(self) -> list[StoredPrefix]:
        """Those on disk now."""
        self._refresh()
        return list(self._known.values())

    def best(self, tokens: bytes, key: PrefixKey, scope: str, longer_than: int, whole: bool) -> PrefixMatch | None:
        """The prefix that ``tokens`` share most of, when that is more than ``longer_than`` tokens; else None.

        Among equals the shortest: it is the fastest to read.
        """
        best: PrefixMatch | None = None
        for prefix in self.prefixes():
            if prefix.key.adapters != key.adapters or (prefix.kind != "system" and prefix.scope != scope):
                continue
            length = prefix.shared_with(tokens)
            if length <= longer_than or (whole and length < prefix.n_tokens):
                continue
            if best is None or (length, -prefix.n_tokens) > (best.length, -best.prefix.n_tokens):
                best = PrefixMatch(prefix, length)
        return best

    def covers(self, tokens: bytes, key: PrefixKey, kind: PrefixKind, scope: str) -> bool:
        """True when there is a prefix that makes saving this one useless: it begins with the same tokens."""
        return any(
            prefix.tokens.startswith(tokens)
            for prefix in self.prefixes()
            if (prefix.key.adapters, prefix.kind, prefix.scope) == (key.adapters, kind, scope)
        )

    def replaced_by(self, tokens: bytes, key: PrefixKey, scope: str) -> list[StoredPrefix]:
        """The former states of the conversation ``tokens``, which go on where these end."""
        return [
            prefix
            for prefix in self._known.values()
            if (prefix.key.adapters, prefix.kind, prefix.scope) == (key.adapters, "chat", scope)
            and len(prefix.tokens) < len(tokens)
            and tokens.startswith(prefix.tokens)
        ]

    def forget(self, name: str) -> None:
        """``name`` is gone."""
        self._known.pop(name, None)

    def reject(self, name: str, inode: int | None = None) -> None:
        """Remove a file that is not what it should be, unless it was replaced since ``inode`` was read."""
        self._known.pop(name, None)
        self._rejected(name)
        path = self._folder / name
        with contextlib.suppress(OSError):
            if inode is None or path.lstat().st_ino == inode:
                path.unlink()

    def _refresh(self) -> None:
        try:
            facts = self._folder.stat()
        except OSError:
            self._known.clear()
            self._seen = None
            return
        seen = (facts.st_ino, facts.st_mtime_ns)
        if seen == self._seen and time.time() - facts.st_mtime > _COARSE_CLOCK_S:
            return
        with contextlib.suppress(OSError), open_folder(self._folder) as descriptor:
            self._list(descriptor)
            self._seen = seen

    def _list(self, descriptor: int) -> None:
        files = {file.name: file for file in cached_files(descriptor, self._base)}
        for name in self._known.keys() - files.keys():
            del self._known[name]
        for name, file in files.items():
            known = self._known.get(name)
            if known is not None and (known.inode, known.size_bytes) == (file.inode, file.size_bytes):
                continue
            try:
                self._known[name] = read_prefix(descriptor, name)
            except IntegrityError:
                self.reject(name, file.inode)
            except OSError:  # gone meanwhile, or a disk that fails
                self._known.pop(name, None)
