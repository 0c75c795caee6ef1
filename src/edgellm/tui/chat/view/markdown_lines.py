"""Markdown as lines for a terminal, computed as it comes: only the block that still grows is computed again.

A widget for each block, which is how Textual shows Markdown, costs 20 to 120 ms for each message once sixty are there;
lines cost one to three, and nothing while they are out of sight.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, Heading, Markdown, MarkdownElement
from rich.segment import Segment
from rich.style import Style
from rich.syntax import Syntax
from rich.text import Text
from rich.theme import Theme
from textual.strip import Strip

from edgellm.printable import printable
from edgellm.tui.chat.view.look import Look

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

__all__ = ["MarkdownLines", "code_blocks"]


class _Code(CodeBlock):
    """Code on a background of its own, its language above it."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.lexer_name != "text":
            yield Text(self.lexer_name, style="markdown.code_label")
        background = console.get_style("markdown.code_block").bgcolor
        yield Syntax(
            str(self.text).rstrip("\n"),
            self.lexer_name,
            theme=self.theme,
            word_wrap=True,
            padding=(0, 1),
            background_color=background.name if background is not None else "default",
        )


class _Heading(Heading):
    LEVEL_ALIGN: ClassVar = dict.fromkeys(Heading.LEVEL_ALIGN, "left")


class _Block(Markdown):
    """Tokens that are parsed already."""

    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "fence": _Code,
        "code_block": _Code,
        "heading_open": _Heading,
    }

    def __init__(self, tokens: Sequence[Token], code_theme: str) -> None:
        self.markup = ""
        self.parsed = list(tokens)
        self.code_theme = self.inline_code_theme = code_theme
        self.justify = None
        self.style = "none"
        self.hyperlinks = False  # an address is shown: what a model writes opens nothing
        self.inline_code_lexer = None


class MarkdownLines:
    """The lines of one text in ``width`` columns; the first ``indent`` stay empty. ``update`` it as it grows."""

    def __init__(self, look: Look, width: int, indent: int = 0) -> None:
        self._width = max(width - indent, 8)
        self._indent = [Segment(" " * indent)] if indent else []
        self._look = look
        self._console = _console(look, self._width)
        self._done_text = ""
        self._done: list[Strip] = []

    def update(self, text: str) -> list[Strip]:
        """The lines of ``text``."""
        text = printable(text)
        if not text.startswith(self._done_text):
            self._done_text, self._done = "", []
        rest = text[len(self._done_text) :]
        tokens = _parser().parse(rest)
        *whole, last = [*_blocks(tokens), []] if not tokens else list(_blocks(tokens))
        for block in whole:
            self._done += [*self._render(block), Strip.blank(0)]
        if whole and last and last[0].map is not None:
            self._done_text += "".join(rest.splitlines(keepends=True)[: last[0].map[0]])
        return [*self._done, *self._render(last)] if last else self._done[:-1]

    def _render(self, block: Sequence[Token]) -> list[Strip]:
        options = self._console.options
        lines = self._console.render_lines(_Block(block, self._look.code_theme), options, pad=False)
        while lines and _is_blank(lines[-1]):
            lines.pop()
        while lines and _is_blank(lines[0]):
            del lines[0]
        return [Strip([*self._indent, *line]) for line in lines]


def _is_blank(line: Sequence[Segment]) -> bool:
    return not any(segment.text.strip() for segment in line)


def code_blocks(text: str) -> list[str]:
    """The contents of the code blocks of ``text``."""
    return [token.content for token in _parser().parse(text) if token.type in ("fence", "code_block")]


def _blocks(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """The tokens of each block that is in no other."""
    block: list[Token] = []
    for token in tokens:
        block.append(token)
        if token.level == 0 and token.nesting <= 0:
            yield block
            block = []
    if block:
        yield block


_the_parser: MarkdownIt | None = None


def _parser() -> MarkdownIt:
    global _the_parser
    if _the_parser is None:
        from markdown_it import MarkdownIt

        _the_parser = MarkdownIt(options_update={"html": False}).enable("strikethrough").enable("table")
    return _the_parser


def _console(look: Look, width: int) -> Console:
    accent, muted = Style(color=look.accent), Style(color=look.muted)
    background = Style(bgcolor=look.code_background)
    theme = Theme(
        {
            "markdown.code": Style(color=look.warning) + background,
            "markdown.code_block": background,
            "markdown.code_label": muted,
            "markdown.block_quote": muted,
            "markdown.list": Style(),
            "markdown.item.bullet": accent,
            "markdown.item.number": accent,
            "markdown.h1": Style(color=look.accent, bold=True, underline=True),
            "markdown.h2": Style(color=look.accent, bold=True),
            "markdown.h3": Style(bold=True),
            "markdown.h4": Style(bold=True),
            "markdown.link": accent,
            "markdown.link_url": muted,
            "markdown.table.border": muted,
            "markdown.table.header": Style(bold=True),
        }
    )
    return Console(
        width=width,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        theme=theme,
        highlight=False,
        legacy_windows=False,
    )
