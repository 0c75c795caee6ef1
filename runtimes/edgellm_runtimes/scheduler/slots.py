"""The sequences of a backend: some run, some hold the state of prefixes that may come again, the rest is free."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from edgellm.errors import BackendError
from edgellm_runtimes.backend import Backend
from edgellm_runtimes.scheduler.prefix_tree import Eviction, Match, PrefixTree

__all__ = ["CacheKey", "Slots", "public_key"]


class CacheKey(NamedTuple):
    """What two requests must have in common to share a computed prefix."""

    scope: str | None  # None: baked prompts, which all may use
    adapters: tuple[tuple[str, float], ...] = ()  # name and scale, sorted


def public_key(key: CacheKey) -> CacheKey:
    """Where prefixes lie that requests of every scope may use."""
    return CacheKey(None, key.adapters)


class Slots:
    """Hands out sequences, with as much of a prefix in them as is there already.

    At most ``idle_tokens`` tokens are kept for requests that may come: where sequences share cells, every token in the
    cache slows each step a bit.
    """

    def __init__(self, backend: Backend, idle_tokens: int) -> None:
        self._backend = backend
        self._idle_tokens = idle_tokens
        self._tree = PrefixTree()
        self._free = list(range(backend.limits.n_sequences - 1, -1, -1))

    @property
    def n_idle_tokens(self) -> int:
        """Tokens whose state is kept without a request."""
        return self._tree.n_tokens

    @property
    def n_free(self) -> int:
        """Sequences that hold nothing."""
        return len(self._free)

    def take(self, key: CacheKey, tokens: Sequence[int]) -> tuple[int, int]:
        """A sequence for ``tokens``, and how many of them it holds: never all, the last one gives the logits."""
        wanted = tokens[:-1]
        match = self._best(key, wanted, touch=True)  # so that nothing of it is given up for the free sequence
        if match is not None and not self._free and len(self._tree) == 1:
            return self._take_over(match)
        sequence = self._take_free()
        match = self._best(key, wanted)
        if match is not None and self._backend.copy_sequence(match.holder, sequence, match.length):
            return sequence, match.length
        return sequence, 0

    def take_copy(self, source: int, length: int) -> tuple[int, int]:
        """A sequence that begins as ``source`` does, with ``length`` tokens; with none where it cannot be cut there."""
        sequence = self._take_free()
        return sequence, length if self._backend.copy_sequence(source, sequence, length) else 0

    def take_empty(self) -> int:
        """A sequence that holds nothing."""
        return self._take_free()

    def matched(self, key: CacheKey, tokens: Sequence[int]) -> int:
        """How many of ``tokens`` ``take`` would find; changes nothing."""
        match = self._best(key, tokens[:-1])
        return 0 if match is None else match.length

    def keep(self, key: CacheKey, tokens: Sequence[int], sequence: int, *, pin: bool = False) -> None:
        """``sequence`` has done its work and holds ``tokens``: they stay as long as there is room."""
        for freed in self._tree.insert(key, tokens, sequence, pin=pin):
            self.drop(freed)
        while self._tree.n_tokens > self._idle_tokens and self.make_room():
            pass

    def drop(self, sequence: int) -> None:
        """``sequence`` is free, and nothing of it is kept."""
        self._backend.drop_sequence(sequence)
        self._free.append(sequence)

    def make_room(self) -> bool:
        """Give up the prefix that was used longest ago, or its end; False when nothing is left."""
        eviction = self._tree.evict()
        if eviction is not None:
            self._apply(eviction)
        return eviction is not None

    def forget_all(self) -> None:
        """After a failure nothing in the cache is trusted: every sequence is free and empty."""
        self._tree.clear()
        self._free.clear()
        for sequence in range(self._backend.limits.n_sequences):
            self.drop(sequence)

    def _take_over(self, match: Match) -> tuple[int, int]:
        """The only prefix that is left goes on in its own sequence."""
        self._tree.forget(match.holder)
        if self._backend.truncate_sequence(match.holder, match.length):
            return match.holder, match.length
        self._backend.drop_sequence(match.holder)
        return match.holder, 0

    def _take_free(self) -> int:
        while not self._free:
            if not self.make_room():
                raise BackendError("every sequence of the model is in use")
        return self._free.pop()

    def _best(self, key: CacheKey, tokens: Sequence[int], *, touch: bool = False) -> Match | None:
        matches = (self._tree.match(each, tokens, touch=touch) for each in (key, public_key(key)))
        return max((match for match in matches if match is not None), key=lambda match: match.length, default=None)

    def _apply(self, eviction: Eviction) -> None:
        if eviction.length and self._backend.truncate_sequence(eviction.holder, eviction.length):
            return
        if eviction.length:
            self._tree.forget(eviction.holder)
        self.drop(eviction.holder)
