"""The prefixes of one loaded model on disk: find, open, save."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from edgellm.errors import IntegrityError
from edgellm.progress import Progress, SilentProgress
from edgellm_runtimes.kv_store.entry import OpenPrefix, PrefixMatch, StoredPrefix
from edgellm_runtimes.kv_store.entry_file import open_entry, read_meta, verify_state
from edgellm_runtimes.kv_store.index import PrefixIndex
from edgellm_runtimes.kv_store.key import AdapterKey, PrefixKey, PrefixKind, scope_digest, token_bytes
from edgellm_runtimes.kv_store.lock import open_folder
from edgellm_runtimes.kv_store.statistics import PrefixStatistics
from edgellm_runtimes.kv_store.writer import PrefixWriter, WriteLimits

__all__ = ["DEFAULT_KEEP_FREE_BYTES", "PrefixStore"]

DEFAULT_KEEP_FREE_BYTES = 256 << 20  # a cache never takes the last of a disk

_TOUCH_AFTER_S = 86400.0


class PrefixStore:
    """Saved prefixes for the model and backend of ``key``. Any thread may call it, and several processes may share
    ``folder``, which the first save makes, for its user alone. All models together take ``byte_cap`` bytes there at
    most, and all processes together write ``daily_write_cap`` bytes a day.

    ``clock`` gives seconds since 1970. ``progress`` hears why something was not saved, once for each reason.
    """

    def __init__(
        self,
        folder: Path,
        key: PrefixKey,
        byte_cap: int = 1 << 30,
        daily_write_cap: int = 1 << 30,
        *,
        keep_free_bytes: int = DEFAULT_KEEP_FREE_BYTES,
        clock: Callable[[], float] = time.time,
        progress: Progress | None = None,
    ) -> None:
        self._folder = folder
        self._key = key
        self._clock = clock
        self._progress = progress or SilentProgress()
        self._told: set[str] = set()
        self._guard = threading.RLock()  # of what follows; never held while bytes go to the disk
        self._statistics = PrefixStatistics()
        self._index = PrefixIndex(folder, key, self._rejected)
        limits = WriteLimits(byte_cap, daily_write_cap, keep_free_bytes)
        self._writer = PrefixWriter(folder, limits, clock, self._guard, self._index, self._statistics, self._say_once)

    def find(
        self,
        tokens: Sequence[int],
        *,
        scope: str = "",
        adapters: Sequence[AdapterKey] = (),
        longer_than: int = 0,
        whole: bool = False,
    ) -> PrefixMatch | None:
        """The saved prefix that shares the most tokens with ``tokens``, when these are more than ``longer_than``.

        Baked system prompts are for every scope, conversations for their own. Costs microseconds: only when the folder
        has changed, the ends of new files are read. ``whole``: only prefixes that ``tokens`` begin with entirely, for
        models whose cache cannot be cut.
        """
        with self._guard:
            key = self._key.with_adapters(adapters)
            return self._index.best(token_bytes(tokens), key, scope_digest(scope), longer_than, whole)

    def open(self, prefix: StoredPrefix) -> OpenPrefix | None:
        """Read the state of ``prefix`` and compare its digest; None when it is gone or damaged (then it is removed).

        Takes as long as reading the file takes. Close what it returns.
        """
        descriptor, whole = -1, False
        try:
            with open_folder(self._folder) as folder:
                descriptor = open_entry(folder, prefix.name)
            meta = read_meta(descriptor, prefix.name)
            verify_state(descriptor, meta)
            self._touch(descriptor, meta.prefix)
            whole = True
        except IntegrityError:
            inode = os.fstat(descriptor).st_ino if descriptor >= 0 else None
            with self._guard:
                self._index.reject(prefix.name, inode)
            return None
        except OSError:
            with self._guard:
                self._index.forget(prefix.name)
            return None
        finally:
            if descriptor >= 0 and not whole:
                os.close(descriptor)
        with self._guard:
            self._statistics.opened += 1
            self._statistics.opened_tokens += prefix.n_tokens
        return OpenPrefix(meta.prefix, self._folder / prefix.name, descriptor)

    def save(
        self,
        tokens: Sequence[int],
        write: Callable[[Path], object],
        *,
        size_bytes: int,
        kind: PrefixKind,
        scope: str = "",
        adapters: Sequence[AdapterKey] = (),
    ) -> bool:
        """Save the state of ``tokens``: ``write`` puts it into the file that it is given, ``size_bytes`` of it or so.

        ``write`` runs before this returns; the disk gets the bytes in the background (see ``flush``). Returns False
        when nothing is saved: it is there already, a cap says no, the disk is full or cannot be written, ``write``
        failed or wrote nothing; the statistics and one message tell. Raises UsageError.
        """
        key = self._key.with_adapters(adapters)
        return self._writer.save(token_bytes(tokens), write, size_bytes, key, kind, scope_digest(scope))

    def flush(self) -> None:
        """Return when everything that was saved is on the disk."""
        self._writer.flush()

    def statistics(self) -> PrefixStatistics:
        """A copy of the counts."""
        with self._guard:
            prefixes = self._index.prefixes()
            return msgspec.structs.replace(
                self._statistics,
                entries=len(prefixes),
                entries_bytes=sum(prefix.size_bytes for prefix in prefixes),
            )

    def _touch(self, descriptor: int, prefix: StoredPrefix) -> None:
        """Note the use, at most once a day: each is a write. A disk that is read-only does without."""
        now = self._clock()
        if abs(now - prefix.last_used) >= _TOUCH_AFTER_S:
            with contextlib.suppress(OSError):
                os.utime(descriptor, (now, now))

    def _rejected(self, name: str) -> None:
        self._statistics.rejected += 1
        self._say_once("rejected", f"a saved prefix is damaged and was removed: {name}")

    def _say_once(self, reason: str, text: str) -> None:
        if reason not in self._told:
            self._told.add(reason)
            self._progress.message(text)
