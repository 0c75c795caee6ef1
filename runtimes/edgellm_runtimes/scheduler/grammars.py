"""Compiles the grammars of requests on threads of its own, before the requests are queued."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from edgellm.errors import BackendError, BusyError, EdgeLLMError, UsageError
from edgellm_runtimes.grammar import Grammar

if TYPE_CHECKING:
    from edgellm_runtimes.backend import Vocabulary
    from edgellm_runtimes.structured import CompiledGrammar, GrammarCompiler

__all__ = ["GrammarQueue"]

_SHARED_S = 0.4  # of a processor, for all that wait in the quick lane together
_MOST_S, _LEAST_S = 0.1, 0.02  # for one of them
_MOST_SLOW = 16  # that wait in the slow lane
_MOST_REFUSED = 64


class _Wish(NamedTuple):
    """A request that waits for its grammar."""

    request_id: int
    grammar: Grammar
    put: Callable[[CompiledGrammar], None]
    fail: Callable[[EdgeLLMError], None]


class GrammarQueue:
    """Two lanes, one grammar of each at a time, in the order of the requests. Any thread may call it.

    In the quick lane all that wait share a part of a second. What needs longer, as few grammars of applications do,
    goes to the slow lane: nobody waits long behind grammars that are made to take all time. What was refused is refused
    again at once.
    """

    def __init__(self, vocabulary: Vocabulary, n_vocab: int) -> None:
        self._vocabulary = vocabulary
        self._n_vocab = n_vocab
        self._lock = threading.Lock()
        self._wanted: set[int] = set()  # ids of the requests that wait
        self._quick: ThreadPoolExecutor | None = None
        self._slow: ThreadPoolExecutor | None = None
        self._n_quick = self._n_slow = 0
        self._refused: OrderedDict[Grammar, UsageError] = OrderedDict()
        self._compiler: GrammarCompiler | None = None
        self._is_closed = False

    def begin(
        self,
        request_id: int,
        grammar: Grammar,
        put: Callable[[CompiledGrammar], None],
        fail: Callable[[EdgeLLMError], None],
    ) -> None:
        """Compile ``grammar`` and call ``put`` with it, unless the request is cancelled meanwhile: after ``cancel`` has
        returned, ``put`` was called or never will be. ``fail`` gets what is wrong with the grammar, or what ``put``
        raises.

        Raises BackendError after ``close``, UsageError for a grammar that was refused before.
        """
        with self._lock:
            if self._is_closed:
                raise BackendError("the model is closed")
            if (refused := self._refused.get(grammar)) is not None:
                raise UsageError(refused.message, hint=refused.hint)
            if self._quick is None:
                self._quick = ThreadPoolExecutor(1, "edgellm-grammar")
            self._wanted.add(request_id)
            self._n_quick += 1
            self._quick.submit(self._compile_quickly, _Wish(request_id, grammar, put, fail))

    def cancel(self, request_id: int) -> None:
        """Nobody waits for this request any more."""
        with self._lock:
            self._wanted.discard(request_id)

    def close(self) -> None:
        """Finish what is being compiled, answer the rest with an error, and let go of the vocabulary."""
        with self._lock:
            self._is_closed = True
            quick = self._quick
        if quick is not None:
            quick.shutdown(wait=True)
        if self._slow is not None:  # made by the quick lane's thread, which has ended
            self._slow.shutdown(wait=True)
        if self._compiler is not None:
            self._compiler.close()

    def _compile_quickly(self, wish: _Wish) -> None:
        from edgellm_runtimes.structured.screening import NeedsLongerError

        with self._lock:
            waiting = self._n_quick
        try:
            self._compile(wish, is_slow=False, cpu_s=max(_LEAST_S, min(_MOST_S, _SHARED_S / waiting)))
        except NeedsLongerError:
            self._go_slowly(wish)
        finally:
            with self._lock:
                self._n_quick -= 1

    def _go_slowly(self, wish: _Wish) -> None:
        """On the quick lane's thread."""
        with self._lock:
            if not (is_full := self._n_slow >= _MOST_SLOW):
                self._n_slow += 1
        if is_full:
            error = BusyError("other requests have grammars that take long to compile", hint="try again in a moment")
            self._fail(wish, error)
            self.cancel(wish.request_id)
            return
        if self._slow is None:
            self._slow = ThreadPoolExecutor(1, "edgellm-slow-grammar")
        self._slow.submit(self._compile_slowly, wish)

    def _compile_slowly(self, wish: _Wish) -> None:
        try:
            self._compile(wish, is_slow=True)
        finally:
            with self._lock:
                self._n_slow -= 1

    def _compile(self, wish: _Wish, *, is_slow: bool, cpu_s: float | None = None) -> None:
        """Raises NeedsLongerError where ``cpu_s`` is too little; the request still waits then."""
        from edgellm_runtimes.structured.screening import CPU_S, NeedsLongerError

        if wish.request_id not in self._wanted:
            return
        try:
            if self._is_closed:
                raise BackendError("the model was closed")
            if self._compiler is None:
                from edgellm_runtimes.structured import GrammarCompiler

                self._compiler = GrammarCompiler(self._vocabulary, self._n_vocab)
            compiled = self._compiler.compile(
                wish.grammar, CPU_S if cpu_s is None else cpu_s, "slow" if is_slow else "quick"
            )
            with self._lock:
                if wish.request_id in self._wanted:
                    wish.put(compiled)
        except NeedsLongerError:
            raise
        except EdgeLLMError as error:
            if isinstance(error, UsageError):
                self._remember(wish.grammar, error)
            self._fail(wish, error)
        except Exception as error:  # noqa: BLE001  whoever waits for the request must hear of it
            self._fail(wish, BackendError(f"the grammar could not be compiled: {error!r}"))
        self.cancel(wish.request_id)

    def _remember(self, grammar: Grammar, error: UsageError) -> None:
        with self._lock:
            self._refused[grammar] = error
            while len(self._refused) > _MOST_REFUSED:
                self._refused.popitem(last=False)

    def _fail(self, wish: _Wish, error: EdgeLLMError) -> None:
        if wish.request_id in self._wanted:
            wish.fail(error)
