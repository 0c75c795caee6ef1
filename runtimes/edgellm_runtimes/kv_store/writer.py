"""Saving prefixes within limits, the slow part in a thread of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from edgellm.errors import EdgeLLMError, UsageError
from edgellm.files import fsync_directory, os_errors
from edgellm.units import format_bytes
from edgellm_runtimes.kv_store.daily import add_written, day_of, written_on
from edgellm_runtimes.kv_store.folder import make_room, remove_leftovers
from edgellm_runtimes.kv_store.index import PrefixIndex
from edgellm_runtimes.kv_store.key import PrefixKey, PrefixKind
from edgellm_runtimes.kv_store.lock import prefix_lock
from edgellm_runtimes.kv_store.saving import Saving
from edgellm_runtimes.kv_store.statistics import PrefixStatistics

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

__all__ = ["PrefixWriter", "WriteLimits"]

_MOST_PENDING = 2  # saves that the disk has not finished
_META_BYTES = 8192  # about what the header adds to a state and its tokens
_LOCK_TIMEOUT_S = 1.0  # the decode thread waits


class WriteLimits(NamedTuple):
    """Bytes: of all prefixes, written in a day, left free on the disk."""

    byte_cap: int
    daily_write_cap: int
    keep_free: int


class PrefixWriter:
    """The writing half of a PrefixStore, which owns ``guard``, ``index`` and ``statistics``.

    ``say`` is called with a reason and a text where something is not saved.
    """

    def __init__(
        self,
        folder: Path,
        limits: WriteLimits,
        clock: Callable[[], float],
        guard: threading.RLock,
        index: PrefixIndex,
        statistics: PrefixStatistics,
        say: Callable[[str, str], None],
    ) -> None:
        self._folder = folder
        self._limits = limits
        self._clock = clock
        self._guard = guard
        self._index = index
        self._statistics = statistics
        self._say = say
        self._pending = 0
        self._thread: ThreadPoolExecutor | None = None

    def save(
        self,
        tokens: bytes,
        write: Callable[[Path], object],
        size_bytes: int,
        key: PrefixKey,
        kind: PrefixKind,
        scope: str,
    ) -> bool:
        """See ``PrefixStore.save``; ``scope`` is a digest."""
        if kind == "system" and scope:
            raise UsageError("a system prompt is everybody's: it has no scope")
        if not tokens:
            raise UsageError("a prefix without tokens cannot be saved")
        size_bytes += len(tokens) + _META_BYTES
        if not self._is_wanted(tokens, size_bytes, key, kind, scope):
            return False
        try:
            saving = self._begin(tokens, size_bytes, key, kind, scope)
        except (EdgeLLMError, OSError) as error:
            self._failed(error)
            return False
        if saving is None:
            return False
        with self._guard:
            self._pending += 1
        queued = False
        try:
            write(saving.path)
            if saving.state_bytes():  # else the model's cache cannot be cut there
                with self._guard:
                    self._executor().submit(self._finish, saving)
                    queued = True
        except (EdgeLLMError, OSError) as error:
            self._failed(error)
        finally:
            if not queued:
                self._end(saving)
        return queued

    def flush(self) -> None:
        """See ``PrefixStore.flush``."""
        with self._guard:
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown(wait=True)

    def _is_wanted(self, tokens: bytes, size_bytes: int, key: PrefixKey, kind: PrefixKind, scope: str) -> bool:
        with self._guard:
            if self._index.covers(tokens, key, kind, scope):
                self._statistics.present += 1
            elif self._pending >= _MOST_PENDING:
                self._statistics.busy += 1
            elif size_bytes > self._limits.byte_cap:
                self._statistics.over_cap += 1
                cap = format_bytes(self._limits.byte_cap)
                self._say("cap", f"a prefix of {format_bytes(size_bytes)} was not saved: all may take {cap}")
            else:
                return True
            return False

    def _begin(self, tokens: bytes, size_bytes: int, key: PrefixKey, kind: PrefixKind, scope: str) -> Saving | None:
        """A temporary file to write to, its bytes counted; None where a limit says no. Raises EdgeLLMError."""
        day = day_of(self._clock())
        with self._locked() as folder:
            remove_leftovers(folder)
            if written_on(folder, day) + size_bytes > self._limits.daily_write_cap:
                with self._guard:
                    self._statistics.over_daily_cap += 1
                    cap = format_bytes(self._limits.daily_write_cap)
                    self._say(f"day {day}", f"no more prefixes are saved today: {cap} a day spare the disk")
                return None
            make_room(folder, size_bytes, self._limits.byte_cap)
            if shutil.disk_usage(folder).free < size_bytes + self._limits.keep_free:
                with self._guard:
                    self._statistics.failed += 1
                    size = format_bytes(size_bytes)
                    self._say("space", f"a prefix of {size} was not saved: the disk of {self._folder} is nearly full")
                return None
            saving = Saving(self._folder, folder, key, kind, scope, tokens)
            try:
                add_written(folder, day, size_bytes)
            except BaseException:
                saving.discard()
                raise
        return saving

    def _finish(self, saving: Saving) -> None:
        """In the background: wait for the disk, then give the file its name."""
        try:
            with os_errors(f"save a prefix to {self._folder}"):
                saving.seal()
            with self._locked() as folder:
                make_room(folder, saving.size_bytes, self._limits.byte_cap)
                saving.publish(folder)
                self._remove_former(folder, saving)
            with os_errors(f"save a prefix to {self._folder}"):
                fsync_directory(self._folder)
            with self._guard:
                self._statistics.saved += 1
                self._statistics.saved_bytes += saving.size_bytes
        except (EdgeLLMError, OSError) as error:
            self._failed(error)
        finally:
            self._end(saving)

    def _remove_former(self, folder: int, saving: Saving) -> None:
        """A conversation that has grown replaces what it was before."""
        if saving.kind != "chat":
            return
        with self._guard:
            former = self._index.replaced_by(saving.tokens, saving.key, saving.scope)
        for prefix in former:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(prefix.name, dir_fd=folder)

    def _end(self, saving: Saving) -> None:
        saving.discard()
        with self._guard:
            self._pending -= 1

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        with prefix_lock(self._folder, _LOCK_TIMEOUT_S) as folder, os_errors(f"save a prefix to {self._folder}"):
            yield folder

    def _executor(self) -> ThreadPoolExecutor:
        from concurrent.futures import ThreadPoolExecutor

        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "edgellm-prefixes")
        return self._thread

    def _failed(self, error: Exception) -> None:
        text = error.message if isinstance(error, EdgeLLMError) else str(error)
        with self._guard:
            self._statistics.failed += 1
            self._say(type(error).__name__, f"a prefix was not saved: {text}")
