"""What may come next in one sequence."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from edgellm.errors import BackendError, UsageError
from edgellm_runtimes.grammar import Grammar
from edgellm_runtimes.structured.library import short_reason

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from llguidance import LLMatcher

__all__ = ["CompiledGrammar", "Constraint", "EndTokens"]

_FREE_S = 1.0  # CPU time that one sequence may take for its grammar, and more for each token
_PER_TOKEN_S = 0.02
_WORD_BITS = 32


class EndTokens(msgspec.Struct, frozen=True):
    """The tokens that end an answer, as ids and as bits of a mask of ``n_words`` words."""

    ids: frozenset[int]
    bits: dict[int, int]  # place of a word -> its bits
    n_vocab: int
    n_words: int

    @classmethod
    def of(cls, ids: tuple[int, ...], n_vocab: int) -> EndTokens:
        """For rows of ``n_vocab`` logits."""
        bits: dict[int, int] = {}
        for token in ids:
            word, bit = divmod(token, _WORD_BITS)
            bits[word] = bits.get(word, 0) | 1 << bit
        return cls(frozenset(ids), bits, n_vocab, -(-n_vocab // _WORD_BITS))


class CompiledGrammar:
    """A grammar against one vocabulary. Made by ``GrammarCompiler``; any thread may start sequences."""

    def __init__(self, grammar: Grammar, matcher: LLMatcher, ends: EndTokens) -> None:
        self.grammar = grammar
        self.is_worn = False  # a limit of what all its sequences share was reached: compile it anew
        self._matcher = matcher
        self._ends = ends

    def start(self) -> Constraint:
        """The state of a sequence that has generated nothing."""
        return Constraint(self, self._matcher.deep_copy(), self._ends)


class Constraint:
    """Which tokens may follow in one sequence. For one thread at a time.

    Draw a token from the row as it is, ask ``allows``, and only where that is False take the row from ``mask_into`` and
    draw again. Then ``accept`` what was chosen, and append what is ``forced`` without drawing. Where ``is_over``, only
    end tokens are left.

    Where a limit of llguidance is reached, ``allows`` is False and everything else raises UsageError: the sequence
    cannot go on.
    """

    def __init__(self, compiled: CompiledGrammar, matcher: LLMatcher, ends: EndTokens) -> None:
        self._compiled = compiled
        self._matcher = matcher
        self._ends = ends
        self._accepted = 0  # tokens, without those that end
        self._ended = 0  # end tokens
        self._spent_s = 0.0

    @property
    def can_end(self) -> bool:
        """True where the answer is complete, though it may go on."""
        return self._ended > 0 or self._matcher.is_accepting()

    @property
    def is_over(self) -> bool:
        """True where the answer is complete and nothing can follow but an end token."""
        return self._ended > 0 or (self._matcher.is_stopped() and not self._matcher.is_error())

    def allows(self, token: int) -> bool:
        """True when ``token`` may come next."""
        if token in self._ends.ids:
            return self.can_end
        if self._ended or not 0 <= token < self._ends.n_vocab:
            return False
        return self._matcher.validate_tokens([token]) == 1

    def mask_into(self, row: npt.NDArray[np.uint32]) -> None:
        """Overwrite ``row``, uint32 [ceil(n_vocab / 32)], contiguous: a 1 for each token that may come next, the lowest
        bit first; ids without a token are 0. Raises UsageError when no token may."""
        started = time.thread_time()
        if row.shape != (self._ends.n_words,) or row.dtype != "uint32" or not row.flags.c_contiguous:
            raise ValueError(f"the mask must be contiguous uint32 [{self._ends.n_words}]")
        if self.is_over:
            row.fill(0)
        else:
            self._matcher.unsafe_compute_mask_ptr(row.ctypes.data, row.nbytes)
            if self._matcher.is_error():
                raise self._failure()
        can_end = self.can_end
        for word, bits in self._ends.bits.items():
            there = int(row[word]) & ~bits
            row[word] = there | bits if can_end else there
        if not row.any():
            raise UsageError(
                f"the {self._compiled.grammar.kind} allows nothing after {self._accepted} tokens",
                hint="it must not name tokens that end an answer, and every rule must be able to end",
            )
        self._spend(started)

    def accept(self, token: int) -> None:
        """``token`` was chosen. Raises BackendError when it may not come next."""
        started = time.thread_time()
        if token in self._ends.ids or self._ended:
            if not self.allows(token):
                raise BackendError(f"token {token} was accepted where the grammar does not allow it")
            self._ended += 1
            return
        allowed = 0 <= token < self._ends.n_vocab and self._matcher.try_consume_tokens([token]) == 1
        if not allowed:
            if self._matcher.is_error():
                raise self._failure()
            raise BackendError(f"token {token} was accepted where the grammar does not allow it")
        self._accepted += 1
        if self._matcher.is_error():
            raise self._failure()
        self._spend(started)

    def forced(self) -> list[int]:
        """The tokens that must follow, as the model itself would write them; none where there is a choice.

        They are not accepted yet.
        """
        if self.is_over:
            return []
        started = time.thread_time()
        tokens = self._matcher.compute_ff_tokens()
        if self._matcher.is_error():
            raise self._failure()
        self._spend(started)
        for place, token in enumerate(tokens):
            if token in self._ends.ids:
                return tokens[:place]
        return tokens

    def rollback(self, n_tokens: int) -> None:
        """Forget the last ``n_tokens`` accepted tokens. Raises BackendError when there are fewer."""
        if not 0 <= n_tokens <= self._accepted + self._ended:
            raise BackendError(f"{n_tokens} tokens cannot be taken back of {self._accepted + self._ended}")
        ends = min(n_tokens, self._ended)
        self._ended -= ends
        if n_tokens > ends:
            if not self._matcher.rollback(n_tokens - ends):
                raise self._failure()
            self._accepted -= n_tokens - ends

    def _spend(self, started: float) -> None:
        """Raise UsageError when the grammar takes so long that it holds up the other sequences."""
        self._spent_s += time.thread_time() - started
        if self._spent_s > _FREE_S + _PER_TOKEN_S * self._accepted:
            raise UsageError(
                f"the {self._compiled.grammar.kind} took {self._spent_s:.1f} s for {self._accepted} tokens",
                hint="shorten its texts and its repetitions",
            )

    def _failure(self) -> UsageError:
        self._compiled.is_worn = True
        reason = short_reason(self._matcher.get_error())
        return UsageError(
            f"the {self._compiled.grammar.kind} cannot be followed after {self._accepted} tokens: {reason}",
            hint="simplify it: fewer alternatives at one place, shorter repetitions",
        )
