"""What is no way of overflowing and no kind of grammar is refused where it is said, in every form of the engine."""

from __future__ import annotations

import pytest

from edgellm.errors import UsageError
from edgellm_runtimes.generation import GenerationOptions
from edgellm_runtimes.grammar import Grammar


def test_an_overflow_that_there_is_not_is_refused() -> None:
    with pytest.raises(UsageError, match="'wrap'; it must be one of error, truncate, shift"):
        GenerationOptions(overflow="wrap")  # type: ignore[arg-type]


def test_a_kind_of_grammar_that_there_is_not_is_refused() -> None:
    with pytest.raises(UsageError, match="'yacc'; it must be one of json_schema, regex, lark, gbnf"):
        Grammar("yacc", "a")  # type: ignore[arg-type]
