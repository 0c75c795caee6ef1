"""Grammars that take all time do not hold up the others, are refused once and for all, and are not without number."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgellm.errors import BusyError, EdgeLLMError, UsageError
from edgellm_runtimes.backend import BackendSettings, Vocabulary
from edgellm_runtimes.grammar import Grammar
from edgellm_runtimes.scheduler.grammars import GrammarQueue
from structured_rig import schema

pytest.importorskip("llguidance", reason="there is no wheel of llguidance for this platform")

PATIENCE_S = 120.0
GOOD = schema({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})


def bomb(number: int) -> Grammar:
    """Takes more than all processor time that a grammar may have."""
    properties = {f"property_{number}_{each}": {"type": "string"} for each in range(3000)}
    return schema({"type": "object", "properties": properties})


class Ends:
    """What became of requests, in order: the id, and the error if there was one."""

    def __init__(self) -> None:
        self._ends: queue.SimpleQueue[tuple[int, EdgeLLMError | None]] = queue.SimpleQueue()

    def begin(self, grammars: GrammarQueue, number: int, grammar: Grammar) -> None:
        grammars.begin(
            number,
            grammar,
            lambda _compiled: self._ends.put((number, None)),
            lambda error: self._ends.put((number, error)),
        )

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
    ends, bombs = Ends(), range(1, 7)
    ends.begin(grammars, 0, GOOD)  # the helper has started
    assert ends.next() == (0, None)
    for number in bombs:
        ends.begin(grammars, number, bomb(number))
    ends.begin(grammars, 100, schema({"type": "object", "properties": {"n": {"type": "integer"}}}))
    order = [ends.next() for _ in range(len(bombs) + 1)]
    assert [number for number, _ in order].index(100) <= 2
    assert all(isinstance(error, UsageError) for number, error in order if number != 100)
    assert dict(order)[100] is None


def test_what_was_refused_is_refused_at_once(grammars: GrammarQueue) -> None:
    ends = Ends()
    ends.begin(grammars, 1, bomb(1))
    _, error = ends.next()
    assert isinstance(error, UsageError)
    with pytest.raises(UsageError, match="to compile"):
        grammars.begin(2, bomb(1), lambda _compiled: None, lambda _error: None)


def test_more_slow_grammars_than_can_wait_are_told_to_come_back(
    grammars: GrammarQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgellm_runtimes.scheduler.grammars._MOST_SLOW", 1)
    ends = Ends()
    for number in range(1, 5):
        ends.begin(grammars, number, bomb(number))
    found = [ends.next()[1] for _ in range(4)]
    assert any(isinstance(error, BusyError) for error in found)
    assert any(isinstance(error, UsageError) for error in found)
