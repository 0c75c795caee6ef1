"""Compiles the grammars of requests on a thread of its own, before the requests are queued."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from edgellm.errors import BackendError, EdgeLLMError
from edgellm_runtimes.grammar import Grammar

if TYPE_CHECKING:
    from edgellm_runtimes.backend import Vocabulary
    from edgellm_runtimes.structured import CompiledGrammar, GrammarCompiler

__all__ = ["GrammarQueue"]


class GrammarQueue:
    """One grammar at a time, in the order of the requests. Any thread may call it."""

    def __init__(self, vocabulary: Vocabulary, n_vocab: int) -> None:
        self._vocabulary = vocabulary
        self._n_vocab = n_vocab
        self._lock = threading.Lock()
        self._wanted: set[int] = set()  # ids of the requests that wait
        self._thread: ThreadPoolExecutor | None = None
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

        Raises BackendError after ``close``.
        """
        with self._lock:
            if self._is_closed:
                raise BackendError("the model is closed")
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, "edgellm-grammar")
            self._wanted.add(request_id)
            self._thread.submit(self._compile, request_id, grammar, put, fail)

    def cancel(self, request_id: int) -> None:
        """Nobody waits for this request any more."""
        with self._lock:
            self._wanted.discard(request_id)

    def close(self) -> None:
        """Finish what is being compiled, answer the rest with an error, and let go of the vocabulary."""
        with self._lock:
            self._is_closed = True
            thread = self._thread
        if thread is not None:
            thread.shutdown(wait=True)
        if self._compiler is not None:
            self._compiler.close()

    def _compile(
        self,
        request_id: int,
        grammar: Grammar,
        put: Callable[[CompiledGrammar], None],
        fail: Callable[[EdgeLLMError], None],
    ) -> None:
        if request_id not in self._wanted:
            return
        try:
            if self._is_closed:
                raise BackendError("the model was closed")
            if self._compiler is None:
                from edgellm_runtimes.structured import GrammarCompiler

                self._compiler = GrammarCompiler(self._vocabulary, self._n_vocab)
            compiled = self._compiler.compile(grammar)
            with self._lock:
                if request_id in self._wanted:
                    put(compiled)
        except EdgeLLMError as error:
            self._fail(request_id, fail, error)
        except Exception as error:  # noqa: BLE001  whoever waits for the request must hear of it
            self._fail(request_id, fail, BackendError(f"the grammar could not be compiled: {error!r}"))
        finally:
            self.cancel(request_id)

    def _fail(self, request_id: int, fail: Callable[[EdgeLLMError], None], error: EdgeLLMError) -> None:
        if request_id in self._wanted:
            fail(error)
