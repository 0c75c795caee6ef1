"""Grammars in Lark's syntax as llguidance reads it, put together rule by rule."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from edgellm_runtimes.grammar import JSON_WHITESPACE

__all__ = ["LarkRules"]

_ANY = r"(.|\n)*"


class LarkRules:
    """The rules of one grammar. ``control_tokens`` are texts that the model has a control token for, with its id."""

    def __init__(self, control_tokens: Mapping[str, int]) -> None:
        self._tokens = control_tokens
        self._rules: list[str] = []

    def literal(self, text: str) -> str:
        """An expression that matches ``text``, with control tokens where they stand for parts of it."""
        if not self._tokens:
            return json.dumps(text, ensure_ascii=False)
        markers = "|".join(re.escape(marker) for marker in sorted(self._tokens, key=len, reverse=True))
        parts = [part for part in re.split(f"({markers})", text) if part]
        return " ".join(
            f"<[{self._tokens[part]}]>" if part in self._tokens else json.dumps(part, ensure_ascii=False)
            for part in parts
        )

    def rule(self, expression: str, attributes: str = "") -> str:
        """A rule of its own; returns its name."""
        name = f"r{len(self._rules)}"
        self._rules.append(f"{name}{attributes}: {expression}")
        return name

    def json_value(self, schema: Any, *, lenient: bool = False) -> str:
        """A rule that matches JSON of ``schema``; ``lenient`` leaves out keywords that llguidance does not know."""
        options: dict[str, Any] = {"whitespace_pattern": JSON_WHITESPACE, **({"lenient": True} if lenient else {})}
        schema = {} if schema is True else schema
        return self.rule(f"%json {json.dumps({'x-guidance': options, **schema})}")

    def choice(self, expressions: list[str]) -> str:
        """A rule that matches one of ``expressions``."""
        return expressions[0] if len(expressions) == 1 else self.rule(" | ".join(expressions))

    def until(self, opening: str, closing: str) -> str:
        """An expression that matches ``opening``, any text, and ``closing`` where it comes first."""
        has_tokens = any(token in opening for token in self._tokens)
        start = "" if has_tokens else _regex(opening)
        before = f"{self.literal(opening)} " if has_tokens else ""
        if any(closing.startswith(token) for token in self._tokens):
            return f"{before}{self.rule(f'/{start}{_ANY}/')} {self.literal(closing)}"
        return before + self.rule(f"/{start}{_ANY}/", f"[suffix={json.dumps(closing, ensure_ascii=False)}]")

    def space(self, most: int = 3) -> str:
        """At most so many characters of white space."""
        return self.rule(rf"/\s{{0,{most}}}/")

    def text(self, start: str) -> str:
        """The grammar, whose answers match the expression ``start``."""
        return "\n".join([f"start: {start}", *self._rules])


def _regex(text: str) -> str:
    """``text`` inside a regular expression of Rust between slashes: there a backslash before ``<`` is no escape."""
    return re.sub(r"([\\.+*?()|\[\]{}^$#&~/-])", r"\\\1", text)
