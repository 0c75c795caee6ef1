"""Between the sequences of a scheduler and the prefixes on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from edgellm.errors import EdgeLLMError
from edgellm_runtimes.backend import Backend, CacheFullError
from edgellm_runtimes.kv_store import AdapterKey, PrefixKind, PrefixStore
from edgellm_runtimes.kv_store.entry import PrefixMatch, StoredPrefix
from edgellm_runtimes.scheduler.slots import CacheKey, Slots

__all__ = ["DiskPrefixes"]

_WORTH_READING = 64  # tokens more than memory holds


class DiskPrefixes:
    """Restores what is on disk into sequences, and saves what should outlive the process.

    ``adapter_digests`` gives sha256:... of each adapter's file by its name. The decode thread calls it.
    """

    def __init__(self, backend: Backend, slots: Slots, store: PrefixStore, adapter_digests: Mapping[str, str]) -> None:
        self._backend = backend
        self._slots = slots
        self._store = store
        self._digests = adapter_digests
        self._can_cut = True  # what was restored

    def find(self, key: CacheKey, tokens: Sequence[int], held: int) -> PrefixMatch | None:
        """What brings a prompt further than the ``held`` tokens that memory has of it; never all its tokens."""
        adapters = self._adapters(key)
        if adapters is None or len(tokens) - 1 < held + _WORTH_READING:
            return None
        longer = held + _WORTH_READING - 1
        whole = not self._can_cut
        return self._store.find(tokens[:-1], scope=key.scope or "", adapters=adapters, longer_than=longer, whole=whole)

    def restore(self, key: CacheKey, tokens: Sequence[int], held: int, sequence: int) -> int:
        """Read what ``find`` finds into ``sequence``, which is empty. Returns how many tokens it holds then: none where
        nothing is found, or the file or the cache will not have it."""
        while (match := self.find(key, tokens, held)) is not None:
            could_cut = self._can_cut
            if self._read(match.prefix, sequence):
                if self._backend.truncate_sequence(sequence, match.length):
                    return match.length
                self._can_cut = False  # a sliding window, a recurrent state: only what is used whole is of use
            self._backend.drop_sequence(sequence)
            if self._can_cut == could_cut:
                return 0
        return 0

    def save(self, key: CacheKey, tokens: Sequence[int], sequence: int, kind: PrefixKind) -> None:
        """Save the state of ``tokens``, with which ``sequence`` begins; what cannot be saved is left out."""
        adapters = self._adapters(key)
        if adapters is None or not tokens:
            return
        self._store.save(
            tokens,
            lambda path: self._write(sequence, path, len(tokens)),
            size_bytes=self._backend.saved_bytes(sequence, len(tokens)),
            kind=kind,
            scope=key.scope or "",
            adapters=adapters,
        )

    def close(self) -> None:
        """Return when everything is on the disk."""
        self._store.flush()

    def _read(self, prefix: StoredPrefix, sequence: int) -> bool:
        """Read the state; False when that does not work."""
        opened = self._store.open(prefix)
        if opened is None:
            return False
        with opened:
            while True:
                try:
                    self._backend.restore_sequence(sequence, opened.path, prefix.n_tokens)
                except CacheFullError:
                    if not self._slots.make_room():
                        return False
                except EdgeLLMError:
                    return False
                else:
                    return True

    def _write(self, sequence: int, path: Path, length: int) -> bool:
        return self._backend.save_sequence(sequence, path, length)

    def _adapters(self, key: CacheKey) -> list[AdapterKey] | None:
        """None when the file of an adapter is not known: nothing can be told of the state then."""
        if not all(name in self._digests for name, _ in key.adapters):
            return None
        return [AdapterKey(self._digests[name], scale) for name, scale in key.adapters]
