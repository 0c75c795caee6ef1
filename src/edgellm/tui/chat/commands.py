"""The lines that begin with a slash: what a chat does besides talking. Plain mode and the screen have the same ones."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from edgellm.api.chat import Thinking
from edgellm.errors import UsageError
from edgellm.paths import user_path
from edgellm.tui.chat.attachments import read_attachment
from edgellm.tui.chat.export import export_file
from edgellm.tui.chat.parameters import CHAT_PARAMETERS, default_of, parameter, read_value, shown_value
from edgellm.tui.chat.presets import Presets
from edgellm.tui.chat.records import ChatSettings
from edgellm.tui.chat.schema import parse_schema, read_schema
from edgellm.tui.chat.search import search
from edgellm.tui.chat.session import ChatSession
from edgellm.tui.chat.speeds import answer_line, context_share
from edgellm.units import format_bytes

__all__ = [
    "COMMANDS",
    "THINKING",
    "Action",
    "Chat",
    "Command",
    "Outcome",
    "command_line",
    "ends_answer",
    "execute",
    "is_command",
    "thinking_word",
]

Action = Literal["", "answer", "continue", "edit", "copy", "shown", "quit"]
"""What is left to do for whoever shows the conversation: have it answered, have the answer go on, let the last message
be edited, copy the last answer, show everything anew, or end."""

_LISTED = 20

THINKING: dict[str, Thinking] = {
    "on": True,
    "off": False,
    "auto": None,
    "low": "low",
    "medium": "medium",
    "high": "high",
}


class Outcome(NamedTuple):
    """``text`` is for the user."""

    text: str = ""
    action: Action = ""


class Chat(NamedTuple):
    """What commands work on. ``keep_in`` is where `/save` puts a conversation of which nothing was to be kept."""

    session: ChatSession
    presets: Presets
    keep_in: Path


class Command(NamedTuple):
    """A command: what may stand behind it, what it does in a line, and how."""

    argument: str
    about: str
    run: Callable[[Chat, str], Outcome]


def command_line(line: str) -> tuple[str, str] | None:
    """Name and argument of a command; None for what is to be sent. Two slashes at the start send one."""
    if not line.startswith("/") or line.startswith("//"):
        return None
    name, _, argument = line[1:].partition(" ")
    return name.lower(), argument.strip()


def plain_name(name: str) -> str:
    """The command that ``name`` means."""
    return _ALIASES.get(name.lower(), name.lower())


def ends_answer(name: str) -> bool:
    """Whether a command leaves the place in the conversation where an answer is made, so that it has to be stopped."""
    return plain_name(name) in _ENDING


def is_command(text: str) -> bool:
    """True for what a conversation would obey and not send."""
    command = command_line(text.partition("\n")[0])
    return command is not None and plain_name(command[0]) in COMMANDS


def execute(chat: Chat, name: str, argument: str) -> Outcome:
    """Run a command. Raises UsageError for one that is not there, and what the command raises."""
    command = COMMANDS.get(plain_name(name))
    if command is None:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean /{near[0]}? " if near else ""
        raise UsageError(f"there is no command /{name[:40]}", hint=f"{hint}/help lists them; // sends a slash")
    return command.run(chat, argument)


def _help(_chat: Chat, _argument: str) -> Outcome:
    width = max(len(f"/{name} {command.argument}".rstrip()) for name, command in COMMANDS.items())
    lines = [f"{f'/{name} {command.argument}':<{width}}  {command.about}" for name, command in COMMANDS.items()]
    return Outcome("\n".join(lines))


def _system(chat: Chat, text: str) -> Outcome:
    settings = chat.session.conversation.settings
    if not text:
        return Outcome(settings.system or "no system prompt is set")
    _change(chat, system="" if text == "-" else text)
    return Outcome("the system prompt is removed" if text == "-" else "the system prompt is set")


def _set(chat: Chat, argument: str) -> Outcome:
    chosen = chat.session.conversation.settings.sampling
    name, _, text = argument.partition(" ")
    if not name:
        return Outcome("\n".join(_parameter_line(each.name, chosen) for each in CHAT_PARAMETERS))
    wanted = parameter(name)
    if not text.strip():
        return Outcome(f"{_parameter_line(wanted.name, chosen)}\n{wanted.meaning} ({wanted.values})")
    if text.strip() == "default":
        _change(chat, sampling={key: value for key, value in chosen.items() if key != wanted.name})
        return Outcome(f"{wanted.name} is the model's own")
    value = read_value(wanted, text)
    _change(chat, sampling=chosen | {wanted.name: value})
    return Outcome(f"{wanted.name} is {shown_value(value)}")


def _parameter_line(name: str, chosen: dict[str, object]) -> str:
    if name in chosen:
        return f"{name:<30}{shown_value(chosen[name])}"
    default = shown_value(default_of(parameter(name)))
    return f"{name:<30}the model's own{f', else {default}' if default else ''}"


def _preset(chat: Chat, argument: str) -> Outcome:
    verb, _, name = argument.partition(" ")
    if not verb:
        return Outcome("\n".join(_preset_line(*each) for each in chat.presets.all().items()))
    if verb == "save" and name.strip():
        chat.presets.save(name.strip(), chat.session.conversation.settings.sampling)
        return Outcome(f"the preset {name.strip()} is saved")
    _change(chat, sampling=chat.presets.get(verb))
    return Outcome(f"the parameters are those of {verb}")


def _preset_line(name: str, values: dict[str, object]) -> str:
    shown = ", ".join(f"{key} {shown_value(value)}" for key, value in values.items())
    return f"{name:<12}{shown or 'as the model says'}"


def _think(chat: Chat, word: str) -> Outcome:
    if not word:
        return Outcome(f"thinking is {thinking_word(chat.session.conversation.settings)}")
    if word not in THINKING:
        raise UsageError(f"thinking cannot be {word[:40]!r}", hint=f"it is {', '.join(THINKING)}")
    _change(chat, thinking=THINKING[word])
    return Outcome(f"thinking is {word}")


def thinking_word(settings: ChatSettings) -> str:
    """What ``settings`` say about thinking, as the user says it."""
    return next(word for word, value in THINKING.items() if value == settings.thinking)


def _schema(chat: Chat, name: str) -> Outcome:
    if not name:
        return Outcome(chat.session.conversation.settings.schema or "answers are free text")
    if name == "off":
        _change(chat, schema="")
        return Outcome("answers are free text")
    _change(chat, schema=parse_schema(name) if name.startswith("{") else read_schema(name))
    return Outcome("answers follow the schema")


def _attach(chat: Chat, name: str) -> Outcome:
    attachments = chat.session.attachments
    if name == "clear":
        attachments.clear()
    elif name:
        attachments.append(read_attachment(name))
    if not attachments:
        return Outcome("nothing is attached")
    shown = ", ".join(f"{each.name} ({format_bytes(len(each.text.encode()))})" for each in attachments)
    return Outcome(f"goes with the next message: {shown}")


def _model(chat: Chat, name: str) -> Outcome:
    if name:
        _change(chat, model=name)
    return Outcome(f"the model is {chat.session.conversation.settings.model or 'not chosen'}", "shown" if name else "")


def _retry(chat: Chat, _argument: str) -> Outcome:
    if not chat.session.back_to_question():
        raise UsageError("there is nothing to answer yet")
    return Outcome("", "answer")


def _continue(chat: Chat, _argument: str) -> Outcome:
    last = chat.session.conversation.last()
    if last is None or last.role != "assistant" or not last.text:
        raise UsageError("there is no answer to go on with", hint="/retry answers again")
    return Outcome("", "continue")


def _edit(chat: Chat, text: str) -> Outcome:
    last = chat.session.conversation.last("user")
    if last is None:
        raise UsageError("there is nothing to edit yet")
    if not text:
        return Outcome("", "edit")
    chat.session.edit(last.id, text)
    return Outcome("", "answer")


def _copy(_chat: Chat, _argument: str) -> Outcome:
    return Outcome("", "copy")


def _thoughts(chat: Chat, _argument: str) -> Outcome:
    last = chat.session.conversation.last("assistant")
    return Outcome(last.thoughts.strip() if last is not None and last.thoughts else "nothing was thought aloud")


def _info(chat: Chat, _argument: str) -> Outcome:
    conversation = chat.session.conversation
    last = conversation.last("assistant")
    used, size = context_share(last)
    lines = [
        f"model     {conversation.settings.model}",
        f"title     {conversation.title or '(none yet)'}",
        f"messages  {len(conversation)}",
        f"kept      {conversation.path or 'in memory alone'}",
        f"context   {used} of {size} tokens" if size else "context   not known yet",
    ]
    if last is not None and (shown := answer_line(last)):
        lines.append(f"last      {shown}")
    return Outcome("\n".join(lines))


def _new(chat: Chat, _argument: str) -> Outcome:
    session = chat.session
    session.switch(session.conversations.begin(session.conversation.settings))
    return Outcome("a new conversation", "shown")


def _list(chat: Chat, _argument: str) -> Outcome:
    summaries = chat.session.conversations.summaries()
    if not summaries:
        return Outcome("no conversations are kept")
    lines = [
        f"{number:>3}  {time.strftime('%Y-%m-%d %H:%M', time.localtime(each.changed))}  {each.title or '(draft)'}"
        for number, each in enumerate(summaries[:_LISTED], 1)
    ]
    return Outcome("\n".join([*lines, *([f"... and {len(summaries) - _LISTED} more"] if summaries[_LISTED:] else [])]))


def _search(chat: Chat, text: str) -> Outcome:
    if not text:
        raise UsageError("what is to be found?", hint="/search TEXT")
    found = [
        f"{each.summary.id}  {each.summary.title}\n    {each.excerpt}"
        for each in search(chat.session.conversations, text)
    ]
    return Outcome("\n".join(found) or "nothing was found")


def _load(chat: Chat, name: str) -> Outcome:
    session = chat.session
    if not name:
        raise UsageError("which conversation?", hint="/list shows them; /load NUMBER, TITLE or ID opens one")
    id = session.conversations.find(name)
    if id == session.conversation.id:
        return Outcome("it is open already")
    session.switch(session.conversations.open(id))
    return Outcome(f"{session.conversation.title}: {len(session.conversation)} messages", "shown")


def _save(chat: Chat, name: str) -> Outcome:
    conversation = chat.session.conversation
    if name.lower().endswith((".md", ".markdown", ".json")):
        path = Path(user_path(name)).absolute()
        export_file(conversation, path)
        return Outcome(f"written to {path}")
    if name:
        conversation.set(title=name)
    if conversation.path is None:
        chat.session.conversations.keep(conversation, chat.keep_in)
    conversation.retry()
    if conversation.problem is not None:
        raise conversation.problem
    return Outcome(f"kept as {conversation.title or conversation.id}", "shown")


def _rename(chat: Chat, title: str) -> Outcome:
    if not title:
        raise UsageError("which title?", hint="/rename TITLE")
    chat.session.conversation.set(title=title)
    return Outcome(f"it is called {title}", "shown")


def _forget(chat: Chat, _argument: str) -> Outcome:
    chat.session.forget()
    return Outcome("the conversation is deleted; a new one begins", "shown")


def _quit(_chat: Chat, _argument: str) -> Outcome:
    return Outcome("", "quit")


def _change(chat: Chat, **fields: object) -> ChatSettings:
    conversation = chat.session.conversation
    settings = msgspec.structs.replace(conversation.settings, **fields)
    conversation.set(settings=settings)
    return settings


COMMANDS: dict[str, Command] = {
    "help": Command("", "Show these lines.", _help),
    "system": Command("[TEXT|-]", "Show the system prompt, set it, or remove it.", _system),
    "set": Command("[NAME [VALUE|default]]", "Show or set the parameters of answers.", _set),
    "preset": Command("[NAME|save NAME]", "Show, take or save sets of parameters.", _preset),
    "think": Command("[on|off|auto|low|medium|high]", "Let the model think before it answers.", _think),
    "schema": Command("[FILE|off]", "Have answers follow a JSON schema.", _schema),
    "attach": Command("[FILE|clear]", "Send a text file with the next message.", _attach),
    "model": Command("[NAME]", "Show or choose the model.", _model),
    "retry": Command("", "Answer the last message again.", _retry),
    "continue": Command("", "Go on with an answer that was cut off.", _continue),
    "edit": Command("[TEXT]", "Say something else in place of the last message.", _edit),
    "copy": Command("", "Copy the last answer.", _copy),
    "thoughts": Command("", "Show what the model thought before its last answer.", _thoughts),
    "info": Command("", "Show model, context and speeds.", _info),
    "new": Command("", "Begin a new conversation.", _new),
    "clear": Command("", "The same: the model forgets, the conversation stays in the list.", _new),
    "list": Command("", "List the conversations that are kept.", _list),
    "search": Command("TEXT", "Find a text in them.", _search),
    "load": Command("NUMBER|TITLE|ID", "Open one of them.", _load),
    "save": Command("[TITLE|FILE.md|FILE.json]", "Keep this one, or write it to a file.", _save),
    "rename": Command("TITLE", "Give this one another title.", _rename),
    "forget": Command("", "Delete this one and begin a new one.", _forget),
    "bye": Command("", "End.", _quit),
}
_ENDING = {"retry", "continue", "edit", "new", "clear", "load", "forget", "bye"}
_ALIASES = {
    "quit": "bye",
    "exit": "bye",
    "q": "bye",
    "?": "help",
    "export": "save",
    "regenerate": "retry",
    "open": "load",
}
