"""A message as lines: who says it, what was thought, what is said, how it went."""

from __future__ import annotations

import time
from typing import NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from edgellm.printable import printable
from edgellm.tui.chat.records import Message
from edgellm.tui.chat.speeds import answer_line
from edgellm.tui.chat.view.look import Look
from edgellm.tui.chat.view.markdown_lines import MarkdownLines
from edgellm.units import format_bytes, format_duration

__all__ = ["Lines", "LiveLines", "estimated_lines", "message_lines", "notice_lines", "thought_title"]

_INDENT = 2
_LONGEST_PLAIN = 20_000  # characters of a message that are shown; the rest is in the file and goes to the model


class Lines(NamedTuple):
    """``fold_line`` is the one that folds and unfolds the thoughts."""

    strips: list[Strip]
    fold_line: int | None = None


def estimated_lines(characters: int, width: int) -> int:
    """About how many lines a message has that nobody looked at yet."""
    return 3 + characters // max(width - _INDENT, 1)


def message_lines(
    message: Message, look: Look, width: int, *, unfolded: bool, versions: tuple[int, int] = (1, 1)
) -> Lines:
    """The lines of a message. ``versions``: which one it is, of how many."""
    strips = [_head(message, look, versions)]
    fold_line = None
    for attachment in message.attachments:
        size = format_bytes(len(attachment.text.encode("utf-8", "replace")))
        strips.append(_plain(f"with {attachment.name} ({size})", Style(color=look.muted)))
    if message.thoughts:
        fold_line = len(strips)
        title = thought_title(message.thought_s, message.thinking_tokens, unfolded=unfolded)
        strips += _thoughts(title, message.thoughts, look, width, unfolded=unfolded)
    strips += _body(message.text, message.role == "user", look, width)
    if message.role == "assistant" and (line := answer_line(message)):
        is_cut = message.finish in ("stopped", "interrupted", "length", "deadline")
        strips += _wrapped(line, Style(color=look.warning if is_cut else look.muted), width)
    strips.append(Strip.blank(0))
    return Lines(strips, fold_line)


class LiveLines:
    """The lines of an answer that is under way."""

    def __init__(self, model: str, look: Look, width: int) -> None:
        self._look, self._width = look, width
        self._head = _plain(model, Style(color=look.accent, bold=True))
        self._body = MarkdownLines(look, width, _INDENT)

    def update(self, text: str, thoughts: str, *, unfolded: bool, waiting: str) -> Lines:
        """With what came so far; ``waiting`` says what is waited for while that is nothing."""
        strips, fold_line = [self._head], None
        if thoughts:
            fold_line = 1
            title = f"{'▾' if unfolded else '▸'} thinking" if not text else f"{'▾' if unfolded else '▸'} thought"
            strips += _thoughts(title, thoughts, self._look, self._width, unfolded=unfolded)
        if text:
            strips += self._body.update(text)
        elif not thoughts:
            strips.append(_plain(waiting, Style(color=self._look.muted)))
        strips.append(Strip.blank(0))
        return Lines(strips, fold_line)


def notice_lines(text: str, look: Look, width: int, *, is_error: bool) -> Lines:
    """What a command said, or an error: nothing of the conversation."""
    style = Style(color=look.warning if is_error else look.muted)
    strips = [strip for line in printable(text).splitlines() for strip in _wrapped(line, style, width)]
    return Lines([*strips, Strip.blank(0)])


def thought_title(thought_s: float, tokens: int, *, unfolded: bool) -> str:
    """The line in place of folded thoughts."""
    parts = [f"for {format_duration(thought_s)}"] if thought_s else []
    parts += [f"{tokens} tokens"] if tokens else []
    return f"{'▾' if unfolded else '▸'} thought {', '.join(parts)}".rstrip()


def _head(message: Message, look: Look, versions: tuple[int, int]) -> Strip:
    is_user = message.role == "user"
    style = Style(bold=True) if is_user else Style(color=look.accent, bold=True)
    parts = [Segment("You" if is_user else printable(message.model) or "Model", style)]
    muted = Style(color=look.muted)
    if message.time:
        parts.append(Segment(time.strftime("  %H:%M", time.localtime(message.time)), muted))
    if versions[1] > 1:
        parts.append(Segment(f"  ‹ {versions[0]}/{versions[1]} ›", muted))
    return Strip(parts)


def _thoughts(title: str, thoughts: str, look: Look, width: int, *, unfolded: bool) -> list[Strip]:
    muted = Style(color=look.muted, italic=True)
    strips = [_plain(title, Style(color=look.muted))]
    if unfolded:
        for line in printable(thoughts).strip().splitlines():
            strips += [_with_bar(strip, look) for strip in _wrapped(line, muted, width - 2)]
        strips.append(Strip.blank(0))
    return strips


def _body(text: str, is_user: bool, look: Look, width: int) -> list[Strip]:
    shown = text[:_LONGEST_PLAIN]
    if is_user:  # as it was typed
        strips = [strip for line in printable(shown).splitlines() for strip in _wrapped(line, Style(), width)]
    else:
        strips = MarkdownLines(look, width, _INDENT).update(shown)
    if len(text) > len(shown):
        strips.append(_plain(f"... and {len(text) - len(shown)} more characters", Style(color=look.muted)))
    return strips


def _wrapped(line: str, style: Style, width: int) -> list[Strip]:
    from rich.cells import chop_cells

    room = max(width - _INDENT, 8)
    pieces: list[str] = []
    current = ""
    for word in _words(line.expandtabs(4)):
        if Segment(current + word.rstrip()).cell_length <= room:
            current += word
            continue
        if current:
            pieces.append(current.rstrip())
        *whole, current = chop_cells(word, room)
        pieces += whole
    pieces.append(current.rstrip())
    return [_indented(Strip([Segment(piece, style)])) for piece in pieces]


def _words(line: str) -> list[str]:
    """Words with the space behind each."""
    words, start = [], 0
    for index in range(1, len(line)):
        if line[index - 1] == " " and line[index] != " ":
            words.append(line[start:index])
            start = index
    return [*words, line[start:]] if line else []


def _plain(text: str, style: Style) -> Strip:
    return Strip([Segment(printable(text).replace("\n", " "), style)])


def _indented(strip: Strip) -> Strip:
    return Strip([Segment(" " * _INDENT), *strip])


def _with_bar(strip: Strip, look: Look) -> Strip:
    return Strip([Segment("│ ", Style(color=look.muted)), *strip])
