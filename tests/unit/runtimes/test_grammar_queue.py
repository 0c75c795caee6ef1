"""Grammars that take all time do not hold up the others, are refused once and for all, and are not without number."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgellm.errors import BusyError, EdgeLLMError, UsageError
from edgellm_runtimes.backend import BackendSettings, Vocabulary
from edgellm_runtimes.grammar import Grammar
from edgellm_runtimes.scheduler.grammars import _MOST_SLOW, GrammarQueue
from structured_rig import schema

pytest.importorskip("llguidance", reason="there is no wheel of llguidance for this platform")

PATIENCE_S = 120.0
GOOD = schema({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})


def bomb(number: int) -> Grammar:
    """Takes more than all processor time that a grammar may have, on any machine: seconds to half a minute, and little
    memory. Time grows with the square of the rules: llguidance's converter looks for each in all of the text."""
    rules = "".join(f'x{rule} ::= "a" x{rule + 1}\n' for rule in range(10_000))
    return Grammar("gbnf", f'root ::= "{number}" x0\n{rules}x10000 ::= "b"\n')


class Ends:
    """What became of requests, in order: the id, and the error if there was one."""

    def __init__(self) -> None:
        self._ends: queue.SimpleQueue[tuple[int, EdgeLLMError | None]] = queue.SimpleQueue()

    def begin(self, grammars: GrammarQueue, number: int, grammar: Grammar, gate: threading.Event | None = None) -> None:
        """Whoever tells of an error waits for ``gate`` first."""

        def fail(error: EdgeLLMError) -> None:
            if gate is not None:
                gate.wait(PATIENCE_S)
            self._ends.put((number, error))

        grammars.begin(number, grammar, lambda _compiled: self._ends.put((number, None)), fail)

    def next(self) -> tuple[int, EdgeLLMError | None]:
        return self._ends.get(timeout=PATIENCE_S)


@pytest.fixture
def grammars(tiny_gguf: Path) -> Iterator[GrammarQueue]:
    from edgellm_runtimes.llama_cpp.model import LlamaBackend

    backend = LlamaBackend(tiny_gguf, BackendSettings(context=64, batch=32, ubatch=32))
    vocabulary: Vocabulary = backend.vocabulary
    grammars = GrammarQueue(vocabulary, vocabulary.n_tokens)
    yield grammars
    grammars.close()
    backend.close()


def test_a_good_grammar_is_compiled_before_the_bombs_that_came_first(grammars: GrammarQueue) -> None:
    ends, bombs, gate = Ends(), range(1, 4), threading.Event()
    for number in bombs:
        ends.begin(grammars, number, bomb(number), gate)
    ends.begin(grammars, 100, GOOD)
    assert ends.next() == (100, None)  # while no bomb can end
    gate.set()
    refused = dict(ends.next() for _ in bombs)
    assert refused.keys() == set(bombs)
    assert all(isinstance(error, UsageError) for error in refused.values())


def test_what_was_refused_is_refused_at_once(grammars: GrammarQueue) -> None:
    ends = Ends()
    ends.begin(grammars, 1, bomb(1))
    _, error = ends.next()
    assert isinstance(error, UsageError)
    with pytest.raises(UsageError, match="to compile"):
        grammars.begin(2, bomb(1), lambda _compiled: None, lambda _error: None)


def test_more_slow_grammars_than_can_wait_are_told_to_come_back(grammars: GrammarQueue) -> None:
    ends, gate = Ends(), threading.Event()
    ends.begin(grammars, 0, bomb(0), gate)  # the slow lane is not free before the gate opens
    for number in range(1, _MOST_SLOW + 1):
        ends.begin(grammars, number, bomb(number))
    number, error = ends.next()
    assert number == _MOST_SLOW
    assert isinstance(error, BusyError)
    for waiting in range(1, _MOST_SLOW):
        grammars.cancel(waiting)
    gate.set()
    number, error = ends.next()
    assert number == 0
    assert isinstance(error, UsageError)
