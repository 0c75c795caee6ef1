"""What `edgellm chat` does before the first word."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from edgellm.cli.context import user_settings
from edgellm.cli.main import on_terminal
from edgellm.errors import NetworkError, NotFoundError, UsageError

if TYPE_CHECKING:
    from edgellm.api.chat import Thinking
    from edgellm.settings import SettingsWithOrigin
    from edgellm.tui.chat.opening import Opening

__all__ = ["ChatOptions", "run_chat"]


@dataclass(frozen=True)
class ChatOptions:
    """The command line of `edgellm chat`."""

    model: str | None
    plain: bool
    system: str | None
    attach: tuple[str, ...]
    schema: str | None
    think: Literal["on", "off", "low", "medium", "high"] | None
    context: int | None
    go_on: bool
    conversation: str | None
    no_history: bool
    quiet: bool
    sampling: dict[str, Any]
    config_file: str | None = None  # that the servers which are started read too


def run_chat(options: ChatOptions) -> int:
    """Open the conversation, and talk: on a screen, in lines, or with one message from standard input. Returns the
    exit status."""
    if options.go_on and options.conversation is not None:
        raise UsageError("--continue and --conversation exclude each other", hint="give one of them")
    if options.no_history and (options.go_on or options.conversation is not None):
        raise UsageError(
            "--no-history begins a conversation of its own", hint="leave --continue and --conversation out"
        )
    if {"logprobs", "logprob_scope"} & options.sampling.keys():
        raise UsageError("log-probabilities are for programs", hint="edgellm run NAME PROMPT --logprobs N --json")
    from edgellm.tui.chat.conversations import Conversations
    from edgellm_runtimes.sampling import sampling_params

    sampling_params(None, **options.sampling)  # what is off is said before anything else happens
    settings = user_settings()
    opening = _opening(options)
    message = _message() if not _is_terminal(sys.stdin) else None
    is_kept = settings.values.chat_history and not options.no_history
    if message is not None and not opening.is_from_before:
        is_kept = False
    if opening.is_from_before and not is_kept:
        raise UsageError("conversations are not kept: chat_history is off", hint="`edgellm config show` says where")
    conversations = Conversations(settings.paths.conversations if is_kept else None)
    if message is not None or options.plain or not on_terminal():
        from edgellm.cli.chat_plain import run_plain

        run_plain(settings, conversations, opening, message, quiet=options.quiet, config_file=options.config_file)
        return 0
    if opening.model is not None:
        _check_model(settings, opening.model)
    from edgellm.tui.session import run_chat_screen

    return run_chat_screen(settings, conversations, opening, config_file=options.config_file)


def _check_model(settings: SettingsWithOrigin, name: str) -> None:
    """Raise NotFoundError or UsageError for a name that means no model, before a screen covers the terminal.

    The server that runs knows; without one the store does, and none is started for it.
    """
    import asyncio
    import contextlib

    from edgellm.client.connection import Client
    from edgellm.client.find import serving
    from edgellm.tui.chat.models import check_model, no_such_model

    server = serving(settings, settings.paths.store)
    if server is not None:

        async def ask() -> None:
            async with Client(server) as client:
                await check_model(client, name)

        with contextlib.suppress(NetworkError):  # it ends now: the screen finds another one, and asks that
            asyncio.run(ask())
        return
    from edgellm.cli.context import open_store
    from edgellm.server.models.names import ModelNames

    store = open_store(settings)
    try:
        ModelNames(store, settings).find(name)
    except NotFoundError as error:
        raise no_such_model(name, [row.full_name for row in store.list()]) from error


def _opening(options: ChatOptions) -> Opening:
    from edgellm.tui.chat.attachments import read_attachment
    from edgellm.tui.chat.opening import Opening
    from edgellm.tui.chat.schema import read_schema

    thinking: dict[str | None, Thinking] = {None: None, "on": True, "off": False}
    thinking |= {"low": "low", "medium": "medium", "high": "high"}
    return Opening(
        model=options.model,
        system=options.system,
        sampling=options.sampling,
        schema=None if options.schema is None else read_schema(options.schema),
        thinking=thinking[options.think],
        context=options.context,
        go_on=options.go_on,
        conversation=options.conversation,
        attachments=tuple(map(read_attachment, options.attach)),
    )


def _is_terminal(stream: Any) -> bool:
    return stream is not None and bool(stream.isatty())


def _message() -> str:
    """The message on standard input. Raises UsageError for none, and for what is no text."""
    raw = sys.stdin.buffer.read() if sys.stdin is not None else b""
    try:
        text = raw.decode("utf-8").removesuffix("\n")
    except UnicodeDecodeError as error:
        raise UsageError(f"the message on standard input is not UTF-8 (byte {error.start})") from error
    if not text.strip():
        raise UsageError("there is no message", hint="give it on standard input, or use a terminal")
    from edgellm.tui.chat.commands import is_command

    if is_command(text):
        raise UsageError(
            f"standard input is one message, and {text.split(maxsplit=1)[0][:40]} at its start is a command, which is"
            " obeyed on a terminal alone",
            hint="give options (edgellm chat --help), or begin with an empty line to send it as it is",
        )
    return text
