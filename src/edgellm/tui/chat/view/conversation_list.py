"""The conversations that are kept, with a field to search them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from edgellm.tui.chat.conversations import Conversations
from edgellm.tui.chat.search import Found, search
from edgellm.tui.chat.summaries import Summary
from edgellm.tui.workers import start_work

__all__ = ["ConversationList"]

_MOST_SHOWN = 500


class ConversationList(Vertical):
    """Enter opens a conversation. What is typed above it is looked for in all of them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("delete,x", "ask('delete')", "Delete", key_display="Del"),
        Binding("n", "ask('rename')", "Rename"),
        Binding("slash", "search", "Search", show=False),
    ]

    class Opened(Message):
        """This conversation is wanted; ``message`` is one in it that was searched for."""

        def __init__(self, id: str, message: int | None) -> None:
            super().__init__()
            self.id = id
            self.message = message

    class Asked(Message):
        """Something else is wanted of a conversation: to delete or to rename it."""

        def __init__(self, what: str, summary: Summary) -> None:
            super().__init__()
            self.what = what
            self.summary = summary

    def __init__(self, conversations: Conversations, **options: str) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self._conversations = conversations
        self._search_field = Input(placeholder="Search", id="search", compact=True)
        self._options = OptionList(id="found", compact=True, markup=False)
        self._none = Static(id="none", markup=False)
        self._found: dict[str, Found] = {}

    def compose(self) -> ComposeResult:
        yield self._search_field
        yield self._options
        yield self._none

    def on_mount(self) -> None:
        """Read the list."""
        self.read()

    def read(self) -> None:
        """Show what is there now."""
        start_work(self, "conversations", self._read, exclusive=True)

    async def _read(self) -> None:
        text = self._search_field.value
        if text.strip():
            found = await asyncio.to_thread(lambda: list(search(self._conversations, text)))
        else:
            summaries = await asyncio.to_thread(self._conversations.summaries)
            found = [Found(summary, None, "") for summary in summaries]
        if self.is_attached:
            self._show(found, text)

    def _show(self, found: Sequence[Found], text: str) -> None:
        options = self._options
        before = options.highlighted
        self._found = {each.summary.id: each for each in found[:_MOST_SHOWN]}
        options.set_options([Option(_line(each), id=each.summary.id) for each in self._found.values()])
        if before is not None and found:
            options.highlighted = min(before, len(self._found) - 1)
        if self._conversations.folder is None:
            empty = "Nothing is kept: history is off."
        else:
            empty = "Nothing was found." if text.strip() else "No conversations yet."
        self._none.update(empty)
        self._none.display = not found
        options.display = bool(found)

    @on(Input.Changed, "#search")
    def _search(self) -> None:
        self.read()

    @on(Input.Submitted, "#search")
    def _to_list(self) -> None:
        self._options.focus()

    @on(OptionList.OptionSelected, "#found")
    def _open(self, event: OptionList.OptionSelected) -> None:
        if event.option_id is not None and event.option_id in self._found:
            self.post_message(self.Opened(event.option_id, self._found[event.option_id].message))

    def action_search(self) -> None:
        """Go to where words are typed that are searched for."""
        self._search_field.focus()

    def action_ask(self, what: str) -> None:
        """Have the highlighted conversation deleted or renamed."""
        option = self._options.highlighted_option
        if option is not None and option.id is not None:
            self.post_message(self.Asked(what, self._found[option.id].summary))


def _line(found: Found) -> Content:
    summary = found.summary
    when = time.strftime("%d %b %H:%M", time.localtime(summary.changed))
    below = found.excerpt if found.message is not None else f"{when} · {summary.messages} · {summary.model}"
    return Content.assemble(summary.title or "(draft)", "\n", (below, "dim"))
