"""`--json-schema`, `--regex`, `--grammar`: what an answer has to follow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgellm.errors import UsageError

if TYPE_CHECKING:
    from edgellm_runtimes.grammar import Grammar, GrammarKind

__all__ = ["grammar_options", "take_grammar"]

_LARGEST_BYTES = 1 << 20
_OPTIONS = (
    click.option("--json-schema", metavar="FILE", help="Answer with JSON that this schema allows."),
    click.option("--regex", metavar="PATTERN", help="Answer with text that this pattern matches as a whole."),
    click.option("--grammar", metavar="FILE", help="Answer in the language of this grammar: .gbnf, or Lark."),
)

Function = TypeVar("Function", bound=Callable[..., Any])


def grammar_options(function: Function) -> Function:
    """The three options."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def take_grammar(options: dict[str, Any]) -> Grammar | None:
    """Take the three values out of ``options``. Raises UsageError, NotFoundError, AccessError."""
    schema, regex, grammar = (options.pop(name) for name in ("json_schema", "regex", "grammar"))
    if sum(value is not None for value in (schema, regex, grammar)) > 1:
        raise UsageError("--json-schema, --regex and --grammar exclude each other", hint="give one of them")
    from edgellm_runtimes.grammar import Grammar

    if regex is not None:
        return Grammar("regex", regex)
    if schema is not None:
        return Grammar("json_schema", _text(schema, "the schema"))
    if grammar is not None:
        kind: GrammarKind = "gbnf" if grammar.endswith(".gbnf") else "lark"
        return Grammar(kind, _text(grammar, "the grammar"))
    return None


def _text(path: str, what: str) -> str:
    from edgellm.files import read_small_file
    from edgellm.paths import user_path

    raw = read_small_file(Path(user_path(path)), _LARGEST_BYTES, what)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{what} {path} is not UTF-8 (byte {error.start})") from error
