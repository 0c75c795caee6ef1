"""tiny-llm at temperature 1.5 under grammars: whatever it says is in the language."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings

from backends import open_backend
from edgellm_runtimes.backend import Backend, BackendSettings
from edgellm_runtimes.grammar import Grammar
from edgellm_runtimes.structured import GrammarCompiler
from structured_rig import generate, schema

pytest.importorskip("llguidance", reason="there is no wheel of llguidance for this platform")

PROMPT = "A record about the citizen, as JSON: "


@pytest.fixture(scope="module")
def backend(tiny_model: Path) -> Iterator[Backend]:
    backend = open_backend(tiny_model, BackendSettings(context=1024, batch=128, ubatch=128))
    yield backend
    backend.close()


@pytest.fixture(scope="module")
def compiler(backend: Backend) -> GrammarCompiler:
    return GrammarCompiler(backend.vocabulary, backend.limits.n_vocab)


NAMES = st.sampled_from(["name", "age", "größe", "a b", 'quo"te', "日", "", "x" * 30])
VALUES = ["yes", "no", 1, 2.5, None, True, "é\n"]


@st.composite
def scalars(draw: st.DrawFn) -> dict[str, Any]:
    low, span = draw(st.integers(-99, 99)), draw(st.integers(1, 99))
    return draw(
        st.sampled_from(
            [
                {"type": "boolean"},
                {"type": "null"},
                {"type": "integer", "minimum": low, "maximum": low + span},
                {"type": "number", "minimum": low, "exclusiveMaximum": low + span},
                {"type": "string", "minLength": span % 5, "maxLength": span % 5 + 9},
                {"type": "string", "pattern": "^[A-Z][a-z]{2,9}$"},
                {"type": "string", "format": "date"},
                {"enum": draw(st.lists(st.sampled_from(VALUES), min_size=1, max_size=4, unique_by=repr))},
                {"const": draw(st.sampled_from(["fixed", 12, [1, "b"], {"k": None}]))},
            ]
        )
    )


def containers(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    arrays = st.builds(
        lambda items, low, span: {"type": "array", "items": items, "minItems": low, "maxItems": low + span},
        inner,
        st.integers(0, 2),
        st.integers(0, 2),
    )
    objects = st.dictionaries(NAMES, inner, min_size=1, max_size=4).flatmap(
        lambda properties: st.builds(
            lambda required: {
                "type": "object",
                "properties": properties,
                "required": sorted(required),
                "additionalProperties": False,
            },
            st.sets(st.sampled_from(sorted(properties))),
        )
    )
    choices = st.lists(inner, min_size=1, max_size=3).map(lambda schemas: {"anyOf": schemas})
    return st.one_of(objects, arrays, choices)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(wanted=st.recursive(scalars(), containers, max_leaves=6), seed=st.integers(0, 2**32 - 1))
def test_json_is_valid_for_its_schema(
    backend: Backend, compiler: GrammarCompiler, wanted: dict[str, Any], seed: int
) -> None:
    answer = generate(backend, compiler.compile(schema(wanted)), PROMPT, seed, limit=900)
    assert answer.ended, answer.text
    jsonschema.validate(json.loads(answer.text), wanted)


@pytest.mark.parametrize("seed", range(6))
def test_an_answer_is_drawn_refused_and_forced(backend: Backend, compiler: GrammarCompiler, seed: int) -> None:
    """The three ways to a token are all taken here."""
    wanted = {
        "type": "object",
        "properties": {"first_name": {"type": "string", "maxLength": 20}, "citizen": {"type": "boolean"}},
        "required": ["first_name", "citizen"],
        "additionalProperties": False,
    }
    answer = generate(backend, compiler.compile(schema(wanted)), PROMPT, seed)
    jsonschema.validate(json.loads(answer.text), wanted)
    assert answer.refused > 0
    assert answer.forced > 0
    assert len(answer.tokens) > answer.refused + answer.forced


@pytest.mark.parametrize(
    "pattern",
    [
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}",
        r"(yes|no|may ?be)(, my lord)?[.!]",
        r"([A-Z][a-z]{1,8} ){2,4}[a-z]{3}",
        r"é{3}[αβγ]{2}🎉日?",
        r"[^aeiou\s]{5,9}",
        r"-?(0|[1-9][0-9]{0,3})(\.[0-9]{1,2})?",
    ],
)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_text_matches_its_regular_expression(
    backend: Backend, compiler: GrammarCompiler, pattern: str, seed: int
) -> None:
    answer = generate(backend, compiler.compile(Grammar("regex", pattern)), PROMPT, seed)
    assert answer.ended
    assert re.fullmatch(pattern, answer.text.decode())


LARK = """
start: sentence{1,3}
sentence: subject " " verb (" " subject)? "."
subject: ("the " | "a ") NOUN
NOUN: /[a-z]{2,8}/
verb: "sees" | "hears" | "fears"
"""
GBNF = r"""
root ::= sentence sentence? sentence?
sentence ::= subject " " verb (" " subject)? "."
subject ::= ("the " | "a ") noun
noun ::= [a-z]{2,8}
verb ::= "sees" | "hears" | "fears"
"""
SENTENCES = r"((the|a) [a-z]{2,8} (sees|hears|fears)( (the|a) [a-z]{2,8})?\.){1,3}"


@pytest.mark.parametrize("grammar", [Grammar("lark", LARK), Grammar("gbnf", GBNF)], ids=["lark", "gbnf"])
@pytest.mark.parametrize("seed", range(5))
def test_text_is_in_its_grammar(backend: Backend, compiler: GrammarCompiler, grammar: Grammar, seed: int) -> None:
    answer = generate(backend, compiler.compile(grammar), PROMPT, seed)
    assert answer.ended
    assert re.fullmatch(SENTENCES, answer.text.decode())


def test_a_text_that_is_wholly_forced_has_the_tokens_that_the_model_would_use(
    backend: Backend, compiler: GrammarCompiler
) -> None:
    text = "Good countrymen, let me depart alone"
    constraint = compiler.compile(Grammar("regex", text)).start()
    tokens = []
    while not constraint.is_over:
        forced = constraint.forced()
        assert forced
        for token in forced:
            constraint.accept(token)
        tokens += forced
    assert tokens == backend.vocabulary.tokenize(text, add_special=False, parse_special=False)
