"""The mode Chat: conversations on the left, one of them on the right."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.containers import Horizontal
from textual.content import Content
from textual.events import Resize

from edgellm.errors import EdgeLLMError, NotFoundError
from edgellm.paths import user_path
from edgellm.tui.chat.attachments import read_attachment
from edgellm.tui.chat.commands import THINKING, Chat, thinking_word
from edgellm.tui.chat.conversations import Conversations
from edgellm.tui.chat.export import export_file
from edgellm.tui.chat.models import choose_model, empty_store, stored_models
from edgellm.tui.chat.opening import ChatStart, open_conversation, preset_path
from edgellm.tui.chat.presets import Presets
from edgellm.tui.chat.records import ChatSettings
from edgellm.tui.chat.schema import parse_schema
from edgellm.tui.chat.session import ChatSession
from edgellm.tui.chat.view.conversation_list import ConversationList
from edgellm.tui.chat.view.pane import ChatPane
from edgellm.tui.chat.view.transcript import Transcript
from edgellm.tui.screens.base import ModeScreen
from edgellm.tui.workers import start_work

if TYPE_CHECKING:
    from edgellm.tui.app import EdgeApp

__all__ = ["ChatScreen"]

_WIDE = 100  # columns from which on the list is there by itself


class ChatCommands(Provider):
    """The commands of the chat, for the palette."""

    async def discover(self) -> Hits:
        for title, about, run in self._commands():
            yield DiscoveryHit(title, run, help=about)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for title, about, run in self._commands():
            if (score := matcher.match(title)) > 0:
                yield Hit(score, matcher.highlight(title), run, help=about)

    def _commands(self) -> list[tuple[str, str, Callable[[], object]]]:
        screen = self.screen
        assert isinstance(screen, ChatScreen)
        return screen.palette()


class ChatScreen(ModeScreen):
    """See the module."""

    MODE = "chat"
    CSS_PATH = "chat.tcss"
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {ChatCommands}
    AUTO_FOCUS = "#prompt"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "stop", "Stop", show=False),
        Binding("ctrl+c", "interrupt", "Stop", show=False),
        Binding("ctrl+n", "new", "New", priority=True),
        Binding("ctrl+o", "conversations", "Chats", priority=True),
        Binding("ctrl+g", "again", "Again", priority=True),
        Binding("ctrl+t", "ask('parameters')", "Parameters", priority=True),
        Binding("ctrl+l", "ask('model')", "Model", priority=True),
        Binding("y", "copy", "Copy message", show=False),
        Binding("c", "copy_code", "Copy code", show=False),
        Binding("e", "edit", "Edit and send again", show=False),
        Binding("r", "again", "Answer again", show=False),
        Binding("left_square_bracket", "version(-1)", "Version before", show=False, key_display="["),
        Binding("right_square_bracket", "version(1)", "Version after", show=False, key_display="]"),
        Binding("i,slash", "type", "Type", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._start = ChatStart()
        self._problem: EdgeLLMError | None = None

    def compose_body(self) -> ComposeResult:
        app: EdgeApp = self.app  # type: ignore[assignment]
        paths = app.settings.paths
        self._start = app.chat_start or ChatStart()
        is_kept = app.settings.values.chat_history
        conversations = self._start.conversations or Conversations(paths.conversations if is_kept else None)
        try:
            conversation = open_conversation(conversations, self._start.opening)
        except EdgeLLMError as error:
            self._problem = error
            conversation = conversations.begin(ChatSettings(model=self._start.opening.model or ""))
        session = ChatSession(conversations, self.connection, conversation)
        session.attachments += self._start.opening.attachments
        chat = Chat(session, Presets(preset_path(paths.state) if is_kept else None), paths.conversations)
        with Horizontal(id="chat-body"):
            yield ConversationList(conversations, id="conversations")
            yield ChatPane(chat, id="pane")

    @property
    def pane(self) -> ChatPane:
        """The conversation."""
        return self.query_one(ChatPane)

    @property
    def chosen(self) -> int | None:
        """The message that keys work on."""
        item = self.query_one(Transcript).chosen
        return item if isinstance(item, int) else None

    def on_mount(self) -> None:
        """Say why the conversation that was meant is not the one that is shown."""
        if self._problem is not None:
            self.pane.tell_error(self._problem)

    def on_resize(self, event: Resize) -> None:
        """The list is there by itself where there is room."""
        self.set_class(event.size.width >= _WIDE, "-wide")

    def on_connected(self) -> None:
        """Choose a model where none is chosen, or where the chosen one is not there."""
        self._check_model()

    @on(ChatPane.ModelNamed)
    def _check_model(self) -> None:
        start_work(self, "model", self._choose_model, exclusive=True)

    async def _choose_model(self) -> None:
        try:
            await choose_model(self.connection, self.pane.conversation)
        except NotFoundError as error:
            self.pane.tell_error(error)
            if self.is_current:  # a dialog would be in the way of another mode
                await self._ask_model(f"{error.message}: which one?", is_empty_known=True)
        except EdgeLLMError as error:
            self.pane.tell_error(error)
        self.pane.show_status()

    def open_model(self, name: str) -> None:
        """Talk to ``name``: in a new conversation, unless nothing was said in this one."""
        pane = self.pane
        settings = msgspec.structs.replace(pane.conversation.settings, model=name)
        if len(pane.conversation):
            pane.switch(pane.session.conversations.begin(settings))
        else:
            pane.conversation.set(settings=settings)
        pane.show_status()
        pane.prompt.focus()

    def palette(self) -> list[tuple[str, str, Callable[[], object]]]:
        """Title, explanation and action of everything that can be done here."""
        pane = self.pane
        return [
            ("New conversation", "Begin a new conversation", self.action_new),
            ("Conversations", "Show, search, rename and delete conversations", self.action_conversations),
            ("Model", "Choose the model of this conversation", partial(self.action_ask, "model")),
            ("Parameters", "How answers are made, with presets", partial(self.action_ask, "parameters")),
            ("Thinking", "Whether the model thinks before it answers", partial(self.action_ask, "thinking")),
            ("System prompt", "What the model is told first", partial(self.action_ask, "system")),
            ("JSON schema", "Have answers follow a JSON schema", partial(self.action_ask, "schema")),
            ("Attach a file", "Send a text file with the next message", partial(self.action_ask, "attach")),
            ("Answer again", "Another answer to the last message", self.action_again),
            ("Go on with the answer", "Continue an answer that was cut off", partial(pane.obey, "continue", "")),
            ("Copy the last answer", "Through the terminal, also over ssh", pane.copy),
            ("Copy the last code", "The last block of code of the last answer", pane.copy_code),
            ("Rename the conversation", "Another title", partial(self.action_ask, "rename")),
            ("Export the conversation", "To Markdown or JSON", partial(self.action_ask, "export")),
            ("Delete the conversation", "From the disk too", partial(self.action_ask, "forget")),
        ]

    # keys

    def action_stop(self) -> None:
        """Stop the answer, leave an edit, or go back to typing."""
        pane = self.pane
        if pane.is_answering:
            pane.stop()
        elif pane.editing is not None:
            pane.stop_editing()
        else:
            pane.transcript.choose(None)
            pane.prompt.focus()

    def action_interrupt(self) -> None:
        """Ctrl-C: stop the answer; without one the app knows what to do."""
        if self.pane.is_answering and not self.get_selected_text():
            self.pane.stop()
        else:
            self.app.action_interrupt()  # type: ignore[attr-defined]

    def action_type(self) -> None:
        """Go to where is typed."""
        self.pane.prompt.focus()

    def action_new(self) -> None:
        """Begin a new conversation."""
        pane = self.pane
        pane.switch(pane.session.conversations.begin(pane.conversation.settings))
        pane.prompt.focus()

    def action_conversations(self) -> None:
        """Show the list and go there; hide it from there."""
        found = self.query_one("#found")
        if found.has_focus or self._searches():
            self.remove_class("-list")
            self.pane.prompt.focus()
            return
        self.add_class("-list")
        self.query_one(ConversationList).read()
        (found if found.display else self.query_one("#search")).focus()

    def _searches(self) -> bool:
        return self.query_one("#search").has_focus

    def action_again(self) -> None:
        """Have the last message answered again."""
        self.pane.again()

    def action_copy(self) -> None:
        """Copy the chosen message."""
        self.pane.copy(self.chosen)

    def action_copy_code(self) -> None:
        """Copy the code of the chosen message."""
        self.pane.copy_code(self.chosen)

    def action_edit(self) -> None:
        """Edit the chosen message, or the last one."""
        pane = self.pane
        last = pane.conversation.last("user")
        id = self.chosen if self.chosen is not None else (last.id if last is not None else None)
        if id is not None and pane.conversation.entry(id).role == "user":
            pane.edit(id)
        else:
            self.notify("what you said can be edited; r answers again", markup=False)

    def action_version(self, step: int) -> None:
        """Another version of the chosen message."""
        self.pane.show_version(self.chosen, step)

    # dialogs

    @on(ChatPane.Wanted)
    def _wanted(self, event: ChatPane.Wanted) -> None:
        if event.what == "conversations":
            self.action_conversations()
        else:
            self.action_ask(event.what)

    def action_ask(self, what: str) -> None:
        """Show a dialog."""
        if what == "model":
            start_work(self, "ask", partial(self._ask_model, "Model"), exclusive=True)
        else:
            getattr(self, f"_ask_{what}")()

    async def _ask_model(self, title: str, *, is_empty_known: bool = False) -> None:
        from edgellm.tui.modals.ask_choice import AskChoice

        try:
            models = await stored_models(self.connection)
        except EdgeLLMError as error:
            self.tell(error)
            return
        if not models:
            if not is_empty_known:
                self.tell(empty_store())
            return
        choices = [
            (each.name, Content.assemble(each.name, (f"  {each.parameters} {each.state or ''}".rstrip(), "dim")))
            for each in models
        ]
        current = self.pane.conversation.settings.model
        self.app.push_screen(AskChoice(title, choices, current=current), self._model_chosen)

    def _model_chosen(self, name: str | None) -> None:
        if name is not None:
            self._change(model=name)

    def _ask_parameters(self) -> None:
        from edgellm.tui.modals.chat_parameters import ChatParameters

        def chosen(sampling: dict[str, Any] | None) -> None:
            if sampling is not None:
                self._change(sampling=sampling)

        self.app.push_screen(ChatParameters(self.pane.conversation.settings.sampling, self.pane.chat.presets), chosen)

    def _ask_thinking(self) -> None:
        from edgellm.tui.modals.ask_choice import AskChoice

        def chosen(word: str | None) -> None:
            if word is not None:
                self._change(thinking=THINKING[word])

        choices = [(word, Content(word)) for word in THINKING]
        current = thinking_word(self.pane.conversation.settings)
        self.app.push_screen(AskChoice("Thinking", choices, current=current), chosen)

    def _ask_system(self) -> None:
        from edgellm.tui.modals.ask_long_text import AskLongText

        def typed(text: str | None) -> None:
            if text is not None:
                self._change(system=text)

        value = self.pane.conversation.settings.system
        hint = "Ctrl+J saves, Esc cancels. Empty: that of the bundle, if it has one."
        self.app.push_screen(AskLongText("System prompt", value=value, yes="Save", hint=hint), typed)

    def _ask_schema(self) -> None:
        from edgellm.tui.modals.ask_long_text import AskLongText

        def typed(text: str | None) -> None:
            if text is not None:
                self._change(schema=parse_schema(text) if text else "")

        value = self.pane.conversation.settings.schema
        hint = "Ctrl+J saves, Esc cancels. Empty: free text. /schema FILE takes one from a file."
        self.app.push_screen(AskLongText("JSON schema", value=value, yes="Save", hint=hint, check=parse_schema), typed)

    def _ask_attach(self) -> None:
        def add(path: str) -> None:
            self.pane.session.attachments.append(read_attachment(path))

        self._ask_text("Text file to send along", "Attach", add, value="")

    def _ask_rename(self) -> None:
        conversation = self.pane.conversation
        self._ask_text("Title", "Rename", lambda title: conversation.set(title=title), value=conversation.title)

    def _ask_export(self) -> None:
        def export(name: str) -> None:
            path = Path(user_path(name)).absolute()
            export_file(self.pane.conversation, path)
            self.pane.tell(f"written to {path}")

        self._ask_text("File, ending in .md or .json", "Export", export, value="conversation.md")

    def _ask_text(self, title: str, yes: str, take: Callable[[str], object], *, value: str) -> None:
        from edgellm.tui.modals.ask_text import AskText

        def typed(text: str | None) -> None:
            if text is not None:
                self._changed()

        self.app.push_screen(AskText(title, value=value, yes=yes, check=take), typed)

    def _ask_forget(self) -> None:
        from edgellm.tui.modals.confirm import Confirm

        def said(yes: bool | None) -> None:
            if yes:
                self.pane.obey("forget", "")

        title = self.pane.conversation.title or "this conversation"
        self.app.push_screen(Confirm("Delete the conversation", f"{title!r} cannot be had back.", yes="Delete"), said)

    def _change(self, **fields: object) -> None:
        conversation = self.pane.conversation
        conversation.set(settings=msgspec.structs.replace(conversation.settings, **fields))
        self._changed()

    @on(ChatPane.Changed)
    def _changed(self) -> None:
        self.pane.show_status()
        self.query_one(ConversationList).read()

    @on(ChatPane.Left)
    def _left(self) -> None:
        self.app.exit()

    # the list

    @on(ConversationList.Opened)
    def _open(self, event: ConversationList.Opened) -> None:
        pane = self.pane
        if event.id != pane.conversation.id:
            try:
                pane.switch(pane.session.conversations.open(event.id))
            except EdgeLLMError as error:
                self.tell(error)
                return
        if event.message is not None:
            pane.transcript.show(event.message)
            pane.transcript.focus()
        else:
            pane.prompt.focus()
        self.remove_class("-list")

    @on(ConversationList.Asked)
    def _asked(self, event: ConversationList.Asked) -> None:
        summary, pane = event.summary, self.pane
        if summary.id == pane.conversation.id:
            self.action_ask("forget" if event.what == "delete" else "rename")
            return
        conversations = pane.session.conversations
        if event.what == "delete":
            from edgellm.tui.modals.confirm import Confirm

            def said(yes: bool | None) -> None:
                if yes:
                    try:
                        conversations.delete(summary.id)
                    except EdgeLLMError as error:
                        self.tell(error)
                    self._changed()

            text = f"{summary.title!r} with {summary.messages} messages cannot be had back."
            self.app.push_screen(Confirm("Delete the conversation", text, yes="Delete"), said)
            return

        def rename(title: str) -> None:
            conversation = conversations.open(summary.id)
            conversation.set(title=title)
            conversation.close()

        self._ask_text("Title", "Rename", rename, value=summary.title)
