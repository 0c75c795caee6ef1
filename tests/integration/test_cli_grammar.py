"""`edgellm run` with a schema, a pattern or a grammar."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cli_process import Cli

pytest.importorskip("llguidance")


def test_an_answer_follows_a_schema_a_pattern_and_a_grammar(packed: Cli, tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object", "properties": {"n": {"type": "integer", "maximum": 9, "minimum": 0}}, '
                      '"required": ["n"], "additionalProperties": false}')  # fmt: skip
    answer = json.loads(packed.json("run", "tiny-llm", "How many?", "--json-schema", str(schema))["text"])
    assert 0 <= answer["n"] <= 9
    assert re.fullmatch("yes|no", packed.json("run", "tiny-llm", "Is it?", "--regex", "yes|no")["text"])
    grammar = tmp_path / "colour.gbnf"
    grammar.write_text('root ::= "red" | "green"\n')
    assert packed.json("run", "tiny-llm", "Which?", "--grammar", str(grammar))["text"] in ("red", "green")


def test_a_wrong_pattern_or_file_is_a_usage_error(packed: Cli, tmp_path: Path) -> None:
    failed = packed.run("run", "tiny-llm", "Is it?", "--regex", "(yes", status=2)
    assert "regex" in failed.stderr
    assert "unclosed" in failed.stderr
    packed.run("run", "tiny-llm", "Hi", "--json-schema", str(tmp_path / "none.json"), status=3)
    packed.run("run", "tiny-llm", "Hi", "--regex", "a", "--grammar", "b", status=2)
