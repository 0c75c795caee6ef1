"""Grammars to constraints, for one loaded model."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from edgellm.errors import BackendError, UsageError
from edgellm_runtimes.grammar import Grammar
from edgellm_runtimes.stack import call_on_stack
from edgellm_runtimes.structured.constraint import CompiledGrammar, EndTokens
from edgellm_runtimes.structured.library import load_llguidance, parser_limits
from edgellm_runtimes.structured.screening import COMPILE_STACK_BYTES, CPU_S, Lane, refusal, screen
from edgellm_runtimes.structured.tokenizer import build_tokenizer, end_tokens

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

    from edgellm_runtimes.backend import Vocabulary
    from edgellm_runtimes.structured.tokenizer import ForcedText

__all__ = ["GrammarCompiler"]

_MOST_CACHED = 16
_LONGEST_FIRST_STEP_S = 0.5


class GrammarCompiler:
    """Compiles grammars against ``vocabulary``, for rows of ``n_vocab`` logits. Any thread may call it but the decode
    thread, which it would hold up: one grammar of each lane is compiled at a time."""

    def __init__(self, vocabulary: Vocabulary, n_vocab: int) -> None:
        self._vocabulary: Vocabulary | None = vocabulary
        self._n_vocab = n_vocab
        self._lock = threading.Lock()  # held while what all grammars need is built
        self._lanes: dict[Lane, threading.Lock] = {"quick": threading.Lock(), "slow": threading.Lock()}
        self._cache_lock = threading.Lock()
        self._cache: OrderedDict[Grammar, CompiledGrammar] = OrderedDict()
        self._built: tuple[LLTokenizer, ForcedText, EndTokens] | None = None

    def compile(self, grammar: Grammar, cpu_s: float = CPU_S, lane: Lane = "quick") -> CompiledGrammar:
        """``grammar``, compiled or from the cache of the last ones. ``cpu_s`` and ``lane``: see ``screen``, which may
        raise NeedsLongerError.

        Raises UsageError with the reason for a grammar that is wrong, or beyond the limits of time, memory and depth;
        UnsupportedError without llguidance, or for a model that it cannot work with; BackendError after ``close``.
        """
        cached = self._find(grammar)
        if cached is not None:
            return cached
        load_llguidance()
        try:
            grammar.text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise refusal(grammar, f"it is not valid Unicode: {error.reason} at character {error.start}") from None
        with self._lanes[lane]:
            cached = self._find(grammar)  # somebody else may have waited for the same one
            if cached is None:
                cached = self._compile(grammar, cpu_s, lane)
                self._keep(cached)
            return cached

    def prepare(self) -> None:
        """Build what every grammar needs, so that the first one does not wait for it. Raises what ``compile`` does."""
        load_llguidance()
        with self._lock:
            self._ensure_built()

    def close(self) -> None:
        """To be called before the vocabulary is freed: waits for what is being built and refuses more.

        Constraints that have been started may be used on, but are slower.
        """
        with self._lanes["quick"], self._lanes["slow"], self._lock:
            self._vocabulary = None
            if self._built is not None:
                self._built[1].detach()
        with self._cache_lock:
            self._cache.clear()

    def _find(self, grammar: Grammar) -> CompiledGrammar | None:
        with self._cache_lock:
            cached = self._cache.get(grammar)
            if cached is None or cached.is_worn:
                return None
            self._cache.move_to_end(grammar)
            return cached

    def _keep(self, compiled: CompiledGrammar) -> None:
        with self._cache_lock:
            self._cache[compiled.grammar] = compiled
            self._cache.move_to_end(compiled.grammar)
            while len(self._cache) > _MOST_CACHED:
                self._cache.popitem(last=False)

    def _compile(self, grammar: Grammar, cpu_s: float, lane: Lane) -> CompiledGrammar:
        with self._lock:
            tokenizer, _, ends = self._ensure_built()
        text = screen(grammar, cpu_s, lane)

        def build() -> LLMatcher:
            from llguidance import LLMatcher

            matcher = LLMatcher(tokenizer, text, log_level=0, limits=parser_limits())
            if not matcher.is_error():
                _try_first_step(grammar, matcher)
            return matcher

        matcher = call_on_stack(COMPILE_STACK_BYTES, build, name="edgellm-grammar")
        if matcher.is_error():
            raise refusal(grammar, matcher.get_error())
        return CompiledGrammar(grammar, matcher, ends)

    def _ensure_built(self) -> tuple[LLTokenizer, ForcedText, EndTokens]:
        if self._vocabulary is None:
            raise BackendError("the model is closed")
        if self._built is None:
            ends = end_tokens(self._vocabulary, self._n_vocab)
            tokenizer, forced = build_tokenizer(self._vocabulary, self._n_vocab, ends)
            self._built = tokenizer, forced, EndTokens.of(ends, self._n_vocab)
        return self._built


def _try_first_step(grammar: Grammar, matcher: LLMatcher) -> None:
    """A first step in a copy: a grammar without any answer fails here, and all sequences share what it works out."""
    copy = matcher.deep_copy()
    started = time.thread_time()
    copy.compute_ff_tokens()
    copy.compute_bitmask()
    if copy.is_error():
        raise refusal(grammar, copy.get_error())
    if time.thread_time() - started > _LONGEST_FIRST_STEP_S:
        raise UsageError(
            f"the {grammar.kind} takes more than {_LONGEST_FIRST_STEP_S:g} s for its first token",
            hint="shorten its texts and its repetitions",
        )
