"""A conversation on the screen: its messages, what goes on, and where to type."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Literal, cast, overload

import msgspec
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message as Event
from textual.timer import Timer
from textual.widgets import Static, TextArea
from textual.worker import Worker, get_current_worker

from edgellm.errors import DoesNotFitError, EdgeLLMError, NetworkError
from edgellm.tui.chat.commands import Chat, Outcome, command_line, ends_answer, execute
from edgellm.tui.chat.completion import completions
from edgellm.tui.chat.conversation import Conversation
from edgellm.tui.chat.draft import Draft
from edgellm.tui.chat.parameters import shown_value
from edgellm.tui.chat.records import Started
from edgellm.tui.chat.session import AnswerSoFar, ChatSession
from edgellm.tui.chat.speeds import context_share
from edgellm.tui.chat.view.look import Look, look_of
from edgellm.tui.chat.view.message_lines import (
    Lines,
    LiveLines,
    estimated_lines,
    message_lines,
    notice_lines,
)
from edgellm.tui.chat.view.prompt import Prompt
from edgellm.tui.chat.view.status import ChatStatus, LoadingState, loading_text
from edgellm.tui.chat.view.transcript import Item, Transcript
from edgellm.tui.connection import Connection
from edgellm.tui.workers import start_work

__all__ = ["ChatPane"]

_LIVE = "live"
_WINDOW = "window"
_DRAW_S = 0.1
_LOOK_S = 0.5
_RETRY_S = 5.0
_HISTORY = 200
_NOTHING = AnswerSoFar(Started(id=0, parent=None, time=0, model=""))


class _Progress(msgspec.Struct):
    phase: str
    done_bytes: int
    total_bytes: int | None
    elapsed_s: float


class _Loaded(msgspec.Struct):
    name: str
    names: tuple[str, ...]
    state: str
    progress: _Progress | None


class ChatPane(Vertical):
    """See the module. What it cannot do itself it asks for with ``Wanted`` and ``Changed``."""

    class Changed(Event):
        """Another conversation is open, or this one has another title, or more messages."""

    class Wanted(Event):
        """A dialog or a list is to be shown."""

        def __init__(self, what: Literal["parameters", "system", "schema", "model", "conversations"]) -> None:
            super().__init__()
            self.what = what

    class ModelNamed(Event):
        """A name of a model was typed, that may be none."""

    class Left(Event):
        """The user ends the chat."""

    def __init__(self, chat: Chat, **options: str) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self.chat = chat
        self.transcript = Transcript(self._compute, self._estimate, id="transcript")
        self.prompt = Prompt(id="prompt")
        self.prompt.completions = lambda line: completions(line, self.chat)
        self._status = Static(id="chat-status")
        self.editing: int | None = None  # the message that what is typed replaces
        self._draft = Draft(None)
        self._unfolded: set[Item] = set()
        self._notices: dict[str, tuple[str, bool]] = {}
        self._answer: Worker[None] | None = None
        self._so_far: AnswerSoFar | None = None
        self._live: LiveLines | None = None
        self._live_key: tuple[int, Look] | None = None
        self._waiting = ""
        self._drawing: Timer | None = None

    @property
    def session(self) -> ChatSession:
        """The conversation and its server."""
        return self.chat.session

    @property
    def conversation(self) -> Conversation:
        """The one that is open."""
        return self.session.conversation

    @property
    def is_answering(self) -> bool:
        """True while an answer is made."""
        return self._answer is not None and not self._answer.is_finished

    def compose(self) -> ComposeResult:
        yield self.transcript
        yield self._status
        yield self.prompt

    def on_mount(self) -> None:
        """Show the conversation."""
        self.set_interval(_RETRY_S, self._save_again)
        self.app.theme_changed_signal.subscribe(self, lambda _theme: self.transcript.forget_all())
        self.opened()

    def on_resize(self) -> None:
        """The status has another width."""
        self.show_status()

    def on_unmount(self) -> None:
        """Let go of the conversation; what is typed is on the disk, and so is what came of an answer."""
        self._answer = None  # which ends by itself now, and is not to be shown any more
        self.session.leave()

    # the conversation

    def opened(self) -> None:
        """Another conversation is there: show it, with what was typed in it before."""
        self._unfolded.clear()
        self._notices.clear()
        self.editing = None
        self._draft = self.session.conversations.draft(self.conversation)
        self.prompt.put(self._draft.text)
        self.show_items(from_end=True)
        if self.conversation.damaged:
            self.tell(f"{self.conversation.damaged} lines of this conversation are damaged and left out", is_error=True)
        self.post_message(self.Changed())

    def switch(self, conversation: Conversation) -> None:
        """Go on in ``conversation``."""
        self.stop()
        self._draft.write(self.prompt.text)
        self.session.switch(conversation)
        self.opened()

    def show_items(self, *, from_end: bool = False) -> None:
        """Show the messages that there are now."""
        ids = self.conversation.message_ids
        items: list[Item] = list(ids)
        last = self.conversation.last("assistant")
        if last is not None and last.sent_from in ids and (index := ids.index(last.sent_from)) > 0:
            items.insert(index, _WINDOW)
        if self._so_far is not None:
            items.append(_LIVE)
        items += self._notices
        self.transcript.set_items(items, keep_place=not from_end)
        self.prompt.said_before = _UserTexts(self.conversation)
        self.show_status()

    def tell(self, text: str, *, is_error: bool = False) -> None:
        """Show a text that is none of the conversation."""
        name = f"notice-{len(self._notices)}"
        self._notices[name] = (text, is_error)
        self.transcript.append(name)

    def tell_error(self, error: EdgeLLMError) -> None:
        """Show an error with its hint."""
        self.tell(error.message if not error.hint else f"{error.message}\n{error.hint}", is_error=True)

    # what is typed

    @on(TextArea.Changed)
    def _typed(self) -> None:
        text = self.prompt.text
        if text and self.conversation.path is None and self.session.conversations.folder is not None:
            self.conversation.retry()  # from here on it is in the list, for the case that this program ends now
        if not self._draft.write(text) or self.conversation.problem is not None:
            self.show_status()

    @on(Prompt.Sent)
    def _sent(self, event: Prompt.Sent) -> None:
        text = event.text
        command = command_line(text)
        if command is not None and "\n" not in text:
            self._draft.write(self.prompt.text)  # the command is no draft of the conversation that it may leave
            self.obey(*command)
        elif self.is_answering:
            self.notify("the model still answers: Esc stops it", markup=False)
            self.prompt.give_back(text)
        else:
            self.send(text.removeprefix("/") if text.startswith("//") else text)

    def send(self, text: str) -> None:
        """Say ``text``, or say it in the place of the message that is edited, and have it answered."""
        try:
            if self.editing is not None:
                self.session.edit(self.editing, text)
            else:
                self.session.say(text)
        except EdgeLLMError as error:
            self.notify(error.message, severity="warning", markup=False)
            return
        self.editing = None
        self._notices.clear()
        self.answer()

    def edit(self, id: int) -> None:
        """Let the user say something else in the place of a message."""
        self.editing = id
        self.prompt.put(self.conversation.message(id).text)
        self.prompt.focus()
        self.show_status()

    def stop_editing(self) -> None:
        """Leave the message as it is."""
        self.editing = None
        self.prompt.put("")
        self.show_status()

    def obey(self, name: str, argument: str) -> None:
        """Run a command."""
        if not argument and name in ("set", "system", "schema", "model"):
            self.post_message(self.Wanted("parameters" if name == "set" else cast("Literal['model']", name)))
            return
        if name in ("list", "load", "search", "open") and not argument:
            self.post_message(self.Wanted("conversations"))
            return
        if self.is_answering and ends_answer(name):
            self.stop()
        before = self.conversation
        try:
            outcome = execute(self.chat, name, argument)
        except EdgeLLMError as error:
            self.tell_error(error)
            return
        if self.conversation is not before:
            self.opened()
        self.follow(outcome)
        if name == "model":
            self.post_message(self.ModelNamed())

    def follow(self, outcome: Outcome) -> None:
        """Do what a command left to do."""
        match outcome.action:
            case "answer":
                self.answer()
            case "continue":
                self.answer(go_on=True)
            case "edit":
                last = self.conversation.last("user")
                if last is not None:
                    self.edit(last.id)
            case "copy":
                self.copy()
            case "quit":
                self.post_message(self.Left())
            case "shown":
                self.post_message(self.Changed())
        if outcome.text:
            self.tell(outcome.text)
        self.show_status()

    # answers

    def answer(self, *, go_on: bool = False) -> None:
        """Have the conversation answered."""
        self._answer = self.run_worker(self._answer_now(go_on=go_on), group="answer", exclusive=True)

    def again(self) -> None:
        """Have the last message answered again."""
        self.stop()
        if self.session.back_to_question():
            self._notices.clear()
            self.answer()

    def stop(self) -> None:
        """End the answer that is made; what came of it stays, and is in the conversation when this returns."""
        if self._answer is None:
            return
        self._answer.cancel()
        self._answer = None
        self.session.stop()
        self._ended(None)

    async def _answer_now(self, *, go_on: bool) -> None:
        mine = get_current_worker()
        self._waiting = loading_text(None, 0)
        self._so_far = _NOTHING
        start_work(self, "look", self._look)
        self.show_items(from_end=True)
        error: EdgeLLMError | None = None
        try:
            async with contextlib.aclosing(self.session.answer(go_on=go_on)) as answer:
                async for so_far in answer:
                    self._so_far = so_far
                    if self._drawing is None:
                        self._drawing = self.set_timer(_DRAW_S, self._draw)
        except EdgeLLMError as failure:
            error = failure
        finally:
            if self._answer is mine and self.is_mounted:  # else it was stopped, and another one may be made
                self._ended(error)

    def _ended(self, error: EdgeLLMError | None) -> None:
        self._so_far = None
        self._live = None
        if error is not None:
            text = error.message if not error.hint else f"{error.message}\n{error.hint}"
            if isinstance(error, NetworkError):
                text = f"{error.message}\nWhat was said and received is kept: Ctrl+G asks again, /continue goes on."
            if isinstance(error, DoesNotFitError):
                text = f"{text}\nSpace in the mode Models (F1) loads it all the same."
            self._notices[f"notice-{len(self._notices)}"] = (text, True)
        self.show_items()
        self.post_message(self.Changed())

    def _draw(self) -> None:
        """Show what came; at most ten times a second."""
        self._drawing = None
        if self._so_far is not None:
            self.transcript.forget(_LIVE)
            self.show_status()

    async def _look(self) -> None:
        """Say what is waited for: the load of a model, or its first word."""
        begun, worker = time.monotonic(), self._answer
        while True:  # a request that is cancelled while it connects leaves its socket open: it ends by itself
            await asyncio.sleep(_LOOK_S)
            if self._so_far is not _NOTHING or self._answer is not worker:
                return
            state = None
            with contextlib.suppress(EdgeLLMError):
                state = await self._loading()
            self._waiting = loading_text(state, time.monotonic() - begun)
            self.transcript.forget(_LIVE)

    async def _loading(self) -> LoadingState | None:
        wanted = self.conversation.settings.model
        connection = cast("Connection", self.session.server)
        for each in await connection.get("/api/edgellm/ps", list[_Loaded]):
            is_it = any(name == wanted or name.startswith(f"{wanted}:") for name in (each.name, *each.names))
            if is_it and each.progress is not None:
                progress = each.progress
                return LoadingState(
                    each.name, progress.phase, progress.done_bytes, progress.total_bytes, progress.elapsed_s
                )
        return None

    # messages

    def copy(self, item: Item | None = None) -> None:
        """Copy a message, the last answer without one, through the terminal (OSC 52)."""
        message = self.conversation.message(item) if isinstance(item, int) else self.conversation.last("assistant")
        if message is None:
            self.notify("there is no answer yet", markup=False)
            return
        self.app.copy_to_clipboard(message.text)
        self.notify("copied", markup=False)

    def copy_code(self, item: Item | None = None) -> None:
        """Copy the last block of code of a message, the last answer without one."""
        from edgellm.tui.chat.view.markdown_lines import code_blocks

        message = self.conversation.message(item) if isinstance(item, int) else self.conversation.last("assistant")
        blocks = code_blocks(message.text) if message is not None else []
        if not blocks:
            self.notify("there is no code in it", markup=False)
            return
        self.app.copy_to_clipboard(blocks[-1])
        self.notify("the code is copied", markup=False)

    def show_version(self, item: Item | None, step: int) -> None:
        """Show the version of a message before or after, with what was said then."""
        id = item if isinstance(item, int) else self.conversation.leaf
        if id is None or self.is_answering:
            return
        versions = self.conversation.versions(id)
        index = versions.index(id) + step
        if 0 <= index < len(versions):
            self.conversation.choose(versions[index])
            self.show_items()
            self.transcript.choose(versions[index])

    @on(Transcript.FoldToggled)
    def _fold(self, event: Transcript.FoldToggled) -> None:
        self._unfolded ^= {event.item}
        self.transcript.forget(event.item)

    # what is shown

    def show_status(self) -> None:
        """Show what goes on."""
        if not self.is_mounted:
            return
        session, conversation = self.session, self.conversation
        settings = conversation.settings
        used, size = context_share(conversation.last("assistant"))
        chosen = [f"{name} {shown_value(value)}" for name, value in settings.sampling.items()]
        chosen += ["system prompt"] if settings.system else []
        chosen += ["JSON schema"] if settings.schema else []
        chosen += ["no thoughts"] if settings.thinking is False else []
        problem = conversation.problem or self._draft.problem
        status = ChatStatus(
            model=settings.model,
            activity=self._activity(),
            settings=", ".join(chosen),
            attached=len(session.attachments),
            used_tokens=used,
            context_tokens=size,
            dropped=session.dropped,
            problem=problem.message if problem is not None else "",
            note=session.note,
            is_kept=session.conversations.folder is not None or conversation.path is not None,
        )
        line = status.content(max(self._status.size.width - 2, 0))
        if line != self._status.content:
            self._status.update(line, layout=False)

    def _activity(self) -> str:
        if self.editing is not None:
            return "editing: Enter sends it again, Esc leaves it"
        if self._so_far is None:
            return ""
        return "thinking, Esc stops" if self._so_far.thoughts and not self._so_far.text else "answering, Esc stops"

    def _save_again(self) -> None:
        """Try to save what the disk did not take."""
        if self.conversation.problem is not None:
            self.conversation.retry()
            self.show_status()
        if self._draft.problem is not None:
            self._draft.write(self.prompt.text)
            self.show_status()

    def _estimate(self, item: Item, width: int) -> int:
        if isinstance(item, int):
            return estimated_lines(self.conversation.entry(item).characters, width)
        return 3

    def _compute(self, item: Item, width: int) -> Lines:
        look = look_of(self.app)
        if isinstance(item, int):
            message = self.conversation.message(item)
            versions = self.conversation.versions(item)
            place = (versions.index(item) + 1, len(versions))
            return message_lines(message, look, width, unfolded=item in self._unfolded, versions=place)
        if item == _LIVE:
            return self._live_lines(look, width)
        if item == _WINDOW:
            text = "─ the model has not read what is above: it no longer fits the context ─"
            return notice_lines(text, look, width, is_error=False)
        text, is_error = self._notices.get(item, ("", False))
        return notice_lines(text, look, width, is_error=is_error)

    def _live_lines(self, look: Look, width: int) -> Lines:
        if self._live is None or self._live_key != (width, look):
            self._live = LiveLines(self.conversation.settings.model, look, width)
            self._live_key = (width, look)
        so_far = self._so_far or _NOTHING
        return self._live.update(
            so_far.text, so_far.thoughts, unfolded=_LIVE in self._unfolded, waiting=f"{self._waiting} …"
        )


class _UserTexts(Sequence[str]):
    """What was said in a conversation, the last of it, read when it is asked for."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        ids = conversation.message_ids
        self._ids = [id for id in ids[-2 * _HISTORY :] if conversation.entry(id).role == "user"]

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[each] for each in range(len(self))[index]]
        return self._conversation.message(self._ids[index]).text
