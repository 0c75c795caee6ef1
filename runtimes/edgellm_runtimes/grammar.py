"""What structured output a request asks for. ``structured`` turns it into masks over tokens."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

from edgellm.errors import UsageError

__all__ = ["JSON_WHITESPACE", "Grammar", "GrammarKind"]

GrammarKind = Literal["json_schema", "regex", "lark", "gbnf"]

JSON_WHITESPACE = r"( |\r?\n{1,2}[ \t]{0,20})?"
"""What may stand between the tokens of JSON: a small model that may put any number of spaces does not stop."""

_LONGEST_BYTES = 1 << 20


class Grammar(msgspec.Struct, frozen=True):
    """A language that the whole answer has to be in. Raises UsageError for an empty or endless text.

    ``text`` is a JSON schema as JSON (``true`` allows any value), a regular expression in Rust's syntax, a grammar in
    Lark's syntax as llguidance reads it, or one in llama.cpp's GBNF.
    """

    kind: GrammarKind
    text: str

    def __post_init__(self) -> None:
        if self.kind not in get_args(GrammarKind):
            raise UsageError(
                f"the kind of grammar is {self.kind!r}; it must be one of {', '.join(get_args(GrammarKind))}"
            )
        size = len(self.text.encode("utf-8", "surrogatepass"))
        if not 0 < size <= _LONGEST_BYTES:
            raise UsageError(f"the {self.kind} has {size} bytes; it must have 1 to {_LONGEST_BYTES}")
