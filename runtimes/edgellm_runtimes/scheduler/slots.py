"""The sequences of a backend: some run, some hold the state of prefixes that may come again, the rest is free."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from edgellm.errors import BackendError
from edgellm_runtimes.backend import Backend
from edgellm_runtimes.generation import AdapterUse
from edgellm_runtimes.scheduler.prefix_tree import Eviction, Match, PrefixTree

if TYPE_CHECKING:
    from edgellm_runtimes.scheduler.live import LiveAnswer

__all__ = ["CacheKey", "Slots", "adapter_uses"]


class CacheKey(NamedTuple):
    """What two requests must have in common to share a computed prefix."""

    scope: str | None  # None: baked prompts, which all may use
    adapters: tuple[tuple[str, float], ...] = ()  # name and scale, sorted

    @classmethod
    def of(cls, scope: str | None, uses: Iterable[AdapterUse]) -> CacheKey:
        """With the adapters that count; in which order they are named does not matter."""
        return cls(scope, tuple(sorted((use.name, use.scale) for use in uses if use.scale)))


def adapter_uses(adapters: Iterable[tuple[str, float]]) -> list[AdapterUse]:
    """The adapters of a key, as a backend takes them."""
    return [AdapterUse(name, scale) for name, scale in adapters]


class Slots:
    """Hands out sequences, with as much of a prefix in them as is there already.

    At most ``idle_tokens`` tokens are kept for requests that may come: where sequences share cells, every token in the
    cache slows each step a bit.
    """

    def __init__(self, backend: Backend, idle_tokens: int) -> None:
        self._backend = backend
        self._idle_tokens = idle_tokens
        self._has_own_cells = not backend.limits.shared_cells
        self._tree = PrefixTree()
        self._free = list(range(backend.limits.n_sequences - 1, -1, -1))
        self._lent: set[int] = set()  # to what is no answer

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
        if match is not None and self._has_own_cells and match.holder == self._next_place():
            return self._go_on_in_place(match)
        sequence = self.take_empty()
        match = self._best(key, wanted)
        if match is not None and self._backend.copy_sequence(match.holder, sequence, match.length):
            return sequence, match.length
        return sequence, 0

    def take_copy(self, source: int, length: int) -> tuple[int, int]:
        """A sequence that begins as ``source`` does, with ``length`` tokens; with none where it cannot be cut there."""
        sequence = self.take_empty()
        return sequence, length if self._backend.copy_sequence(source, sequence, length) else 0

    def take_empty(self) -> int:
        """A sequence that holds nothing. Raises BackendError when every one is in use."""
        if self._has_own_cells:
            place = self._next_place()
            self._vacate(place)
            self._backend.drop_sequence(place)
            return place
        self._need_free()
        return self._free.pop()

    def lend(self) -> int:
        """A sequence that holds nothing, for what runs beside the answers; ``drop`` takes it back. Raises likewise."""
        self._need_free()
        sequence = max(self._free)  # the first ones are those of answers: see ``settle``
        self._free.remove(sequence)
        self._lent.add(sequence)
        return sequence

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
        self._lent.discard(sequence)
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

    def _go_on_in_place(self, match: Match) -> tuple[int, int]:
        """The place that is next holds what is wanted: that is kept elsewhere too, and goes on here."""
        self._vacate(match.holder)
        return self._cut(match.holder, min(match.length, self._backend.sequence_length(match.holder)))

    def _take_over(self, match: Match) -> tuple[int, int]:
        """The only prefix that is left goes on in its own sequence."""
        self._tree.forget(match.holder)
        return self._cut(match.holder, match.length)

    def _cut(self, sequence: int, length: int) -> tuple[int, int]:
        """``sequence`` with its first ``length`` tokens; with none where it cannot be cut there."""
        if self._backend.truncate_sequence(sequence, length):
            return sequence, length
        self._backend.drop_sequence(sequence)
        return sequence, 0

    def settle(self, answers: Iterable[LiveAnswer]) -> None:
        """Where sequences have cells of their own, let those of ``answers``, all that run, follow each other from 0 on.

        Others llama.cpp computes one after the other, each time with all weights.
        """
        if not self._has_own_cells:
            return
        placed = {answer.sequence: answer for answer in answers if answer.sequence >= 0}
        gaps = [place for place in range(len(placed)) if place not in placed and place not in self._lent]
        for gap, sequence in zip(gaps, sorted(placed, reverse=True), strict=False):
            self._vacate(gap)
            self._backend.copy_sequence(sequence, gap)
            placed[sequence].sequence = gap
            self.drop(sequence)

    def _need_free(self) -> None:
        while not self._free:
            if not self.make_room():
                raise BackendError("every sequence of the model is in use")

    def _next_place(self) -> int:
        """The first sequence that does not run."""
        return min([*self._free, *self._tree.holders()], default=self._backend.limits.n_sequences)

    def _vacate(self, place: int) -> None:
        """Have ``place``, which does not run, for one that does. What it held goes elsewhere, or what was used longest
        ago goes; its tokens stay where they are until they are dropped."""
        if place >= self._backend.limits.n_sequences:
            raise BackendError("every sequence of the model is in use")
        while not self._free and len(self._tree) > 1 and self.make_room():
            pass
        if place in self._free:
            self._free.remove(place)
        elif self._free:
            elsewhere = self._free.pop()
            self._backend.copy_sequence(place, elsewhere)
            self._tree.move(place, elsewhere)
        else:
            self._tree.forget(place)

    def _best(self, key: CacheKey, tokens: Sequence[int], *, touch: bool = False) -> Match | None:
        matches = (self._tree.match(each, tokens, touch=touch) for each in (key, CacheKey(None, key.adapters)))
        return max((match for match in matches if match is not None), key=lambda match: match.length, default=None)

    def _apply(self, eviction: Eviction) -> None:
        if eviction.length and self._backend.truncate_sequence(eviction.holder, eviction.length):
            return
        if eviction.length:
            self._tree.forget(eviction.holder)
        self.drop(eviction.holder)
