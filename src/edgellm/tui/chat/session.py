"""A conversation with a model: what is sent, what comes, and what of it is kept. It knows no terminal."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

import msgspec

from edgellm.api.chat import ChatEnd, ChatLine, ChatOrder, ChatStart, ChatText, ChatThought, ChatTurn
from edgellm.api.run import RunFailure
from edgellm.errors import EdgeLLMError, NetworkError, PromptTooLongError, UsageError
from edgellm.tui.chat.answer_file import AnswerFile
from edgellm.tui.chat.attachments import with_attachments
from edgellm.tui.chat.conversation import Conversation
from edgellm.tui.chat.conversations import Conversations
from edgellm.tui.chat.parameters import sampling_for_server
from edgellm.tui.chat.records import Attachment, Finish, Message, Started
from edgellm.tui.chat.window import Sent, Window, first_sent, learned, shorter
from edgellm_runtimes.grammar import Grammar

__all__ = ["AnswerSoFar", "ChatServer", "ChatSession"]

_decoder: msgspec.json.Decoder[ChatLine] = msgspec.json.Decoder(ChatLine)


class ChatServer(Protocol):
    """What a session needs of a connection."""

    def lines(self, path: str, body: object, decoder: msgspec.json.Decoder[ChatLine]) -> AsyncGenerator[ChatLine, None]:
        """POST ``body``, and read one JSON object a line."""
        ...


class AnswerSoFar:
    """An answer that is under way."""

    def __init__(self, started: Started) -> None:
        self.started = started
        self.text = started.text
        self.thoughts = started.thoughts
        self.start: ChatStart | None = None
        self.end: ChatEnd | None = None
        self.begun = time.monotonic()
        self.first_s = 0.0
        self.thought_s = 0.0
        self._first_thought: float | None = None

    def take(self, line: ChatText | ChatThought) -> None:
        """A piece more."""
        now = time.monotonic()
        self.first_s = self.first_s or now - self.begun
        if isinstance(line, ChatThought):
            self._first_thought = self._first_thought or now
            self.thoughts += line.text
        else:
            if self._first_thought is not None and not self.thought_s:
                self.thought_s = now - self._first_thought
            self.text += line.text

    def message(self, finish: Finish, error: str = "") -> Message:
        """What came, as it is kept."""
        end, start, started = self.end, self.start, self.started
        if self._first_thought is not None and not self.thought_s:
            self.thought_s = time.monotonic() - self._first_thought
        return Message(
            id=started.id,
            role="assistant",
            parent=started.parent,
            text=self.text,
            thoughts=self.thoughts,
            time=started.time,
            model=start.name if start is not None else started.model,
            finish=end.reason if end is not None else finish,
            error="" if end is not None else error,
            stats=end.stats if end is not None else None,
            thinking_tokens=end.thinking_tokens if end is not None else 0,
            context=start.context if start is not None else 0,
            first_s=round(self.first_s, 4),
            thought_s=round(self.thought_s, 3),
            sent_from=started.sent_from,
        )


class _Keeper:
    """Puts what came of an answer into the conversation that it was asked in: once, and while that one is open."""

    def __init__(self, conversation: Conversation, file: AnswerFile, so_far: AnswerSoFar) -> None:
        self.conversation = conversation
        self.file = file
        self._so_far = so_far
        self._is_done = False

    def keep(self, finish: Finish, why: str = "") -> None:
        """The answer has ended, or is to: what comes from now on is nobody's."""
        if self._is_done:
            return
        self._is_done = True
        so_far, conversation = self._so_far, self.conversation
        if so_far.end is not None or so_far.first_s:
            conversation.append(so_far.message(finish, why))
        elif so_far.started.parent is not None:  # an answer from before is shown again
            conversation.show_newest(so_far.started.parent)
        if conversation.problem is None:
            self.file.remove()
        else:  # the pieces that the disk has are better than nothing
            self.file.flush()

    def drop(self) -> None:
        """Nothing of it is wanted."""
        self._is_done = True
        self.file.remove()


class ChatSession:
    """One conversation at a time, answered through ``server``.

    ``dropped`` is how many of the messages that are shown the model was not given for the last answer.
    """

    def __init__(self, conversations: Conversations, server: ChatServer, conversation: Conversation) -> None:
        self.conversations = conversations
        self.server = server
        self.conversation = conversation
        self.attachments: list[Attachment] = []  # for the next message
        self.dropped = 0
        self.note = ""  # what is otherwise than was asked for
        self._keeper: _Keeper | None = None  # of the answer that is under way

    def switch(self, conversation: Conversation) -> None:
        """Go on in another conversation. What was begun in the one before and holds nothing leaves nothing behind."""
        self.leave()
        self.conversation = conversation
        self.attachments, self.dropped, self.note = [], 0, ""

    def stop(self) -> None:
        """What came of the answer that is under way is in the conversation from now on, and nothing more will be.

        Whoever reads the answer closes it too: that takes a moment, in which another conversation may be opened.
        """
        if self._keeper is not None:
            self._keeper.keep("stopped")

    def leave(self) -> None:
        """Let go of the conversation."""
        self.stop()
        conversation = self.conversation
        if not len(conversation) and conversation.is_writable and not self.conversations.draft(conversation).text:
            self.conversations.forget(conversation)
        conversation.close()

    def forget(self) -> None:
        """Remove the conversation from the disk and from memory, and begin a new one with its settings."""
        if self._keeper is not None:
            self._keeper.drop()
        conversation = self.conversation
        self.conversations.forget(conversation)
        conversation.close()
        self.conversation = self.conversations.begin(conversation.settings)
        self.attachments, self.dropped, self.note = [], 0, ""

    def say(self, text: str) -> Message:
        """Add what the user says, with what is attached. Raises UsageError for nothing."""
        if not text.strip() and not self.attachments:
            raise UsageError("there is nothing to send")
        message = self.conversation.add(
            "user", text, parent=self.conversation.leaf, attachments=tuple(self.attachments)
        )
        self.attachments = []
        return message

    def edit(self, id: int, text: str) -> Message:
        """Say something else in the place of a message of the user; what was said there stays as another version."""
        old = self.conversation.message(id)
        attachments = (*old.attachments, *self.attachments)
        self.attachments = []
        return self.conversation.add("user", text, parent=old.parent, attachments=attachments)

    def back_to_question(self) -> bool:
        """Show the conversation up to the last message of the user, to be answered again; False without any."""
        conversation = self.conversation
        last = next((id for id in reversed(conversation.message_ids) if conversation.entry(id).role == "user"), None)
        conversation.show_until(last)
        return last is not None

    async def answer(self, *, go_on: bool = False) -> AsyncGenerator[AnswerSoFar, None]:
        """Have the conversation answered: yields the answer each time that more of it came.

        With ``go_on`` the last answer, which was cut off, is continued. Closing the generator stops the answer. What
        came is in the conversation afterwards, however it ended. Raises what the server says, and NetworkError.
        """
        conversation = self.conversation
        if not conversation.settings.model:
            raise UsageError("no model was chosen", hint="/model NAME")
        ids = list(conversation.message_ids)
        cut: Message | None = None
        if go_on and ids and conversation.entry(ids[-1]).role == "assistant":
            cut = conversation.message(ids[-1])
        if not ids:
            raise UsageError("nothing was said yet")
        first = self._first(ids)
        while True:
            started = Started(
                id=conversation.next_id(),
                parent=ids[-1] if cut is None else cut.parent,
                time=time.time(),
                model=conversation.settings.model,
                text=cut.text if cut is not None else "",
                thoughts=cut.thoughts if cut is not None else "",
                sent_from=ids[first],
            )
            self.dropped = first
            try:
                stream = self._stream(conversation, started, ids[first:], go_on=cut is not None)
                async with contextlib.aclosing(stream):
                    async for so_far in stream:
                        yield so_far
                return
            except PromptTooLongError:
                later = shorter(_sent(conversation, ids), first)
                if later is None or later <= first:
                    raise
                first = later

    async def _stream(
        self, conversation: Conversation, started: Started, ids: Sequence[int], *, go_on: bool
    ) -> AsyncGenerator[AnswerSoFar, None]:
        so_far = AnswerSoFar(started)
        file = AnswerFile(self.conversations.answer_path(conversation), started)
        keeper = self._keeper = _Keeper(conversation, file, so_far)
        finish: Finish = "stopped"
        why = ""
        try:
            order = _order(conversation, ids, go_on=go_on)
            async with contextlib.aclosing(self.server.lines("/api/edgellm/chat", order, _decoder)) as lines:
                async for line in lines:
                    match line:
                        case ChatStart():
                            so_far.start, self.note = line, line.note
                            continue
                        case RunFailure():
                            raise line.error.as_error()
                        case ChatEnd():
                            so_far.end = line
                        case ChatText() | ChatThought():
                            so_far.take(line)
                            is_text = isinstance(line, ChatText)
                            file.add(line.text if is_text else "", "" if is_text else line.text)
                    yield so_far
            if so_far.end is None:
                raise _cut_off()
        except EdgeLLMError as error:
            finish, why = "interrupted", error.message
            raise
        finally:
            keeper.keep(finish, why)
            if self._keeper is keeper:
                self._keeper = None

    def _first(self, ids: Sequence[int]) -> int:
        """The index of the first message to send."""
        conversation = self.conversation
        sent = _sent(conversation, ids)
        settings = conversation.settings
        last = next((id for id in reversed(ids) if conversation.entry(id).role == "assistant"), None)
        answer = None if last is None else conversation.message(last)
        window, before = Window(), None
        if last is not None and answer is not None:
            until = ids.index(last)
            before = ids.index(answer.sent_from) if answer.sent_from in ids else None
            said = sent[before or 0 : until + 1]
            characters = sum(each.characters for each in said) + len(settings.system)
            window = learned(answer, characters, len(said))
        most = settings.sampling.get("max_tokens")
        return first_sent(sent, len(settings.system), window, most if isinstance(most, int) else None, before)


def _order(conversation: Conversation, ids: Sequence[int], *, go_on: bool) -> ChatOrder:
    settings = conversation.settings
    turns = [ChatTurn("system", settings.system)] if settings.system else []
    for id in ids:
        message = conversation.message(id)
        turns.append(ChatTurn(message.role, with_attachments(message.text, message.attachments)))
    return ChatOrder(
        model=settings.model,
        messages=tuple(turns),
        sampling=sampling_for_server(settings.sampling),
        stop=settings.stop,
        grammar=Grammar("json_schema", settings.schema) if settings.schema else None,
        thinking=settings.thinking,
        continue_last=go_on,
        context=settings.context,
    )


def _sent(conversation: Conversation, ids: Sequence[int]) -> list[Sent]:
    entries = map(conversation.entry, ids)
    return [Sent(entry.id, entry.role == "user", entry.characters) for entry in entries]


def _cut_off() -> NetworkError:
    return NetworkError("the answer was cut off", hint="try again, or go on with it")
