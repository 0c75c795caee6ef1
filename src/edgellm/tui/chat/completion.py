"""What Tab completes in a chat: commands, and what stands behind them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from edgellm.errors import EdgeLLMError, UsageError
from edgellm.paths import user_path
from edgellm.tui.chat.commands import COMMANDS, THINKING, Chat, plain_name
from edgellm.tui.chat.parameters import CHAT_PARAMETERS

__all__ = ["common_start", "completions", "tails"]

_MOST = 200


def completions(line: str, chat: Chat | None = None) -> list[str]:
    """All lines that the beginning of one may become; empty where it is no command, or nobody knows its argument."""
    if not line.startswith("/") or line.startswith("//") or "\n" in line:
        return []
    name, space, argument = line[1:].partition(" ")
    if not space:
        return [f"/{each} " for each in COMMANDS if each.startswith(name.lower())]
    find = _ARGUMENTS.get(plain_name(name))
    found = [] if find is None else find(argument, chat)
    return [f"/{name} {each}" for each in found][:_MOST]


def common_start(lines: Sequence[str]) -> str:
    """What all of ``lines`` begin with."""
    first, last = min(lines), max(lines)
    return first[: next((place for place, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))]


def tails(lines: Iterable[str]) -> list[str]:
    """The last part of each: the name of a file, or the last word."""
    found = []
    for line in lines:
        head, _, argument = line.rstrip().partition(" ")
        is_folder = argument.endswith("/")
        found.append(f"{argument.rstrip('/').rpartition('/')[2]}{'/' if is_folder else ''}" if argument else head)
    return found


def _paths(text: str, _chat: Chat | None = None) -> list[str]:
    """The files and folders that ``text`` is the beginning of; hidden ones where it says so."""
    if text == "~":
        return ["~/"]
    folder, slash, start = text.rpartition("/")
    found = []
    try:
        with os.scandir(user_path(folder + slash) if slash else Path()) as entries:
            for entry in entries:
                if entry.name.startswith(start) and (start or not entry.name.startswith(".")):
                    found.append(f"{folder}{slash}{entry.name}{'/' if entry.is_dir() else ''}")
    except (OSError, UsageError):
        return []
    return sorted(each for each in found if each.isprintable())


def _or_paths(*words: str) -> Callable[[str, Chat | None], list[str]]:
    return lambda text, _chat: [*(word for word in words if text and word.startswith(text)), *_paths(text)]


def _words(words: Iterable[str]) -> Callable[[str, Chat | None], list[str]]:
    return lambda text, _chat: [word for word in words if word.startswith(text)]


def _titles(text: str, chat: Chat | None) -> list[str]:
    if chat is None:
        return []
    try:
        titles = [each.title for each in chat.session.conversations.summaries()]
    except EdgeLLMError:
        return []
    return list(dict.fromkeys(title for title in titles if title and title.lower().startswith(text.lower())))


def _presets(text: str, chat: Chat | None) -> list[str]:
    names = [*chat.presets.all()] if chat is not None else []
    return [name for name in [*names, "save "] if name.startswith(text)]


_ARGUMENTS: dict[str, Callable[[str, Chat | None], list[str]]] = {
    "attach": _or_paths("clear"),
    "schema": _or_paths("off"),
    "save": _or_paths(),
    "load": _titles,
    "set": _words(f"{each.name} " for each in CHAT_PARAMETERS),
    "preset": _presets,
    "think": _words(THINKING),
}
