"""`edgellm chat --plain`: a conversation in lines, with nothing that moves, and one message from standard input."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence

from edgellm.cli.console import print_error, print_message, printable
from edgellm.cli.loop_thread import LoopThread
from edgellm.cli.termination import exit_on_signals
from edgellm.errors import EdgeLLMError, NetworkError
from edgellm.settings import SettingsWithOrigin
from edgellm.tui.chat.commands import Chat, command_line, execute
from edgellm.tui.chat.completion import completions, tails
from edgellm.tui.chat.conversations import Conversations
from edgellm.tui.chat.models import check_model, choose_model
from edgellm.tui.chat.opening import Opening, open_conversation, preset_path
from edgellm.tui.chat.plain_server import PlainServer
from edgellm.tui.chat.presets import Presets
from edgellm.tui.chat.records import Message
from edgellm.tui.chat.session import AnswerSoFar, ChatSession
from edgellm.tui.chat.speeds import answer_line, ending
from edgellm.tui.launch import Launcher
from edgellm.units import format_duration

__all__ = ["run_plain"]

_HELP = (
    'Talk to the model. Ctrl-C stops an answer; a line that ends with \\, and lines between """, are one message; '
    "/help lists commands, /bye or Ctrl-D ends."
)
_PROMPT = ">>> "
_BLOCK = '"""'


def run_plain(
    settings: SettingsWithOrigin,
    conversations: Conversations,
    opening: Opening,
    message: str | None,
    *,
    quiet: bool,
    config_file: str | None = None,
) -> None:
    """Answer ``message``, or talk until the user ends it. Raises the errors of the server for the one message."""
    with exit_on_signals(), LoopThread() as loop:
        server = PlainServer(Launcher(settings, config_file=config_file))
        session = ChatSession(conversations, server, open_conversation(conversations, opening))
        session.attachments += opening.attachments
        try:
            loop.run(choose_model(server, session.conversation))
            talk = _Talk(loop, server, session, settings, quiet=quiet)
            if message is not None:
                talk.once(message)
            else:
                talk.until_end()
        finally:
            session.leave()
            loop.run(server.leave())


class _Talk:
    """Reads lines and writes answers: what the model says to stdout, everything else to stderr."""

    def __init__(
        self,
        loop: LoopThread,
        server: PlainServer,
        session: ChatSession,
        settings: SettingsWithOrigin,
        *,
        quiet: bool,
    ) -> None:
        self._loop = loop
        self._server = server
        self._session = session
        self._chat = Chat(session, Presets(preset_path(settings.paths.state)), settings.paths.conversations)
        self._quiet = quiet
        self._warned = ""

    def once(self, message: str) -> None:
        """One message and its answer."""
        self._session.say(message)
        answer = self._loop.run(self._answer())
        sys.stdout.write("\n")
        sys.stdout.flush()
        if answer is not None and not self._quiet and (end := ending(answer)):
            print_message(f"[{end}]")

    def until_end(self) -> None:
        """A conversation on the terminal."""
        _edit_lines(self._chat)
        if not self._quiet:
            conversation = self._session.conversation
            print_message(f"{conversation.settings.model}. {_HELP}")
            if len(conversation):
                print_message(f"{conversation.title}: {len(conversation)} messages")
        self._remember()
        while (line := self._read()) is not None:
            if not line.strip():
                continue
            try:
                if self._obey(line):
                    return
            except EdgeLLMError as error:
                print_error(error.message, error.hint)

    def _obey(self, line: str) -> bool:
        """Send a message or run a command; True at the end."""
        command = command_line(line)
        if command is None:
            self._session.say(line.removeprefix("/") if line.startswith("//") else line)
            self._converse()
            return False
        name, argument = command
        if name == "model" and argument:
            self._loop.run(check_model(self._server, argument))
        outcome = execute(self._chat, name, argument)
        if outcome.text:
            print_message(outcome.text)
        match outcome.action:
            case "answer":
                self._converse()
            case "continue":
                self._converse(go_on=True)
            case "edit":
                self._edit()
            case "copy":
                self._copy()
            case "shown":
                self._remember()
            case "quit":
                return True
        self._warn()
        return False

    def _converse(self, *, go_on: bool = False) -> None:
        try:
            answer = self._loop.run(self._answer(go_on=go_on))
        except KeyboardInterrupt:
            print_message("\n[stopped]")
            self._warn()
            return
        except NetworkError as error:
            sys.stdout.write("\n")
            print_error(error.message, "what was said and received is kept; /retry asks again, /continue goes on")
            self._warn()
            return
        except EdgeLLMError:
            self._warn()
            raise
        sys.stdout.write("\n\n")
        sys.stdout.flush()
        self._warn()
        if answer is None or self._quiet:
            return
        print_message(f"[{answer_line(answer)}]")
        if self._session.dropped:
            print_message(
                f"[the first {self._session.dropped} messages no longer fit the context: the model has not read them]"
            )

    async def _answer(self, *, go_on: bool = False) -> Message | None:
        shown, thought = 0, False
        last: AnswerSoFar | None = None
        async with contextlib.aclosing(self._session.answer(go_on=go_on)) as answer:
            async for last in answer:
                if last.thoughts and not thought:
                    thought = True
                    self._say("[thinking]")
                if not shown and last.text:
                    if last.thought_s:
                        self._say(f"[thought for {format_duration(last.thought_s)}; /thoughts shows it]")
                    self._say(self._session.note)
                text = last.text[shown:]
                shown = len(last.text)
                if text:
                    sys.stdout.write(printable(text) if sys.stdout.isatty() else text)
                    sys.stdout.flush()
        return self._session.conversation.last("assistant") if last is not None else None

    def _say(self, text: str) -> None:
        if text and not self._quiet:
            print_message(text)

    def _warn(self) -> None:
        """Say once that the conversation is not saved."""
        problem = self._session.conversation.problem
        if problem is not None and problem.message != self._warned:
            print_error(problem.message, f"it is in memory, and saved with the next message; {problem.hint}")
        self._warned = problem.message if problem is not None else ""

    def _read(self) -> str | None:
        """What is typed: a line, lines joined by a backslash at their ends, or a block of lines. None at the end."""
        lines: list[str] = []
        is_block = False
        while True:
            try:
                line = input("... " if lines or is_block else _PROMPT)
            except EOFError:
                sys.stdout.write("\n")
                return "\n".join(lines) if lines else None
            except KeyboardInterrupt:
                sys.stdout.write("\n")
                return ""
            if not is_block and not lines and line.lstrip().startswith(_BLOCK):
                is_block, line = True, line.lstrip().removeprefix(_BLOCK)
                if not line:
                    continue
            if is_block:
                if line.rstrip().endswith(_BLOCK):
                    return "\n".join([*lines, *filter(None, [line.rstrip().removesuffix(_BLOCK)])])
                lines.append(line)
            elif line.endswith("\\"):
                lines.append(line[:-1])
            else:
                return "\n".join([*lines, line])

    def _remember(self) -> None:
        """What was typed in this conversation can be had again with the arrow keys."""
        with contextlib.suppress(ImportError):
            import readline

            readline.clear_history()
            for message in self._session.conversation.messages(-200):
                if message.role == "user" and "\n" not in message.text:
                    readline.add_history(message.text)

    def _edit(self) -> None:
        """The last message stands in the line, to be changed."""
        last = self._session.conversation.last("user")
        assert last is not None
        with _filled_in(last.text.replace("\n", " ")):
            text = self._read()
        if text and text.strip():
            self._session.edit(last.id, text)
            self._converse()

    def _copy(self) -> None:
        import base64

        last = self._session.conversation.last("assistant")
        if last is None:
            print_message("there is no answer yet")
            return
        encoded = base64.b64encode(last.text.encode("utf-8", "replace")).decode("ascii")
        sys.stdout.write(f"\x1b]52;c;{encoded}\a")
        sys.stdout.flush()
        print_message("the answer is sent to the terminal's clipboard")


def _edit_lines(chat: Chat) -> None:
    """Tab completes a whole line: a path may have spaces."""
    with contextlib.suppress(ImportError):
        import readline

        is_libedit = "libedit" in (readline.__doc__ or "")
        readline.parse_and_bind("bind ^I rl_complete" if is_libedit else "tab: complete")
        readline.set_completer(_completer(chat))
        readline.set_completer_delims("")
        if not is_libedit:
            readline.set_completion_display_matches_hook(_show_matches)


def _completer(chat: Chat) -> Callable[[str, int], str | None]:
    found: list[str] = []

    def complete(text: str, state: int) -> str | None:
        if not state:
            found[:] = completions(text, chat)
        return found[state] if state < len(found) else None

    return complete


def _show_matches(_line: str, matches: Sequence[str], _longest: int) -> None:
    """Names alone, below the line, and the line again."""
    import readline

    sys.stdout.write(f"\n{printable('  '.join(tails(matches)))}\n{_PROMPT}{readline.get_line_buffer()}")
    sys.stdout.flush()


@contextlib.contextmanager
def _filled_in(text: str) -> Iterator[None]:
    try:
        import readline
    except ImportError:
        print_message(text)
        yield
        return
    readline.set_startup_hook(lambda: readline.insert_text(text))
    try:
        yield
    finally:
        readline.set_startup_hook(None)
