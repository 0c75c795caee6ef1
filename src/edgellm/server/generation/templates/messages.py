"""Messages in the form that a template reads."""

from __future__ import annotations

import hashlib
import json
import string
from collections.abc import Mapping, Sequence
from typing import Any

from edgellm.errors import UsageError
from edgellm.server.generation.calls.call import SHORT_ID_LENGTH
from edgellm.server.generation.calls.form import CallForm
from edgellm.server.generation.templates.abilities import Abilities
from edgellm.server.generation.templates.content import text_of
from edgellm.server.generation.templates.told_tools import say_calls, say_result, tell_tools

__all__ = ["Messages", "adapt_messages"]

Messages = list[dict[str, Any]]
_DIGITS = string.ascii_letters + string.digits


def adapt_messages(
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]],
    abilities: Abilities,
    form: CallForm,
    *,
    short_call_ids: bool = False,
    thought_key: str | None = None,
) -> tuple[Messages, list[dict[str, Any]] | None]:
    """``messages`` and ``tools`` for a template of such ``abilities``.

    What it does not know goes another way: parts of text are joined by line breaks, a system prompt goes before the
    first message of the user, tools are told of in the system prompt, calls are text in their ``form``. Raises
    UsageError for content that is no text.
    """
    adapted: Messages = [_plain(dict(message), number) for number, message in enumerate(messages)]
    _name_results(adapted)
    given: list[dict[str, Any]] | None = [dict(tool) for tool in tools] or None
    if not abilities.calls:
        adapted = [say_calls(message, form) for message in adapted]
    if not abilities.results:
        adapted = [say_result(message) if message["role"] == "tool" else message for message in adapted]
    if given and not abilities.tools:
        adapted, given = tell_tools(adapted, given, form), None
    if not abilities.system:
        adapted = _without_system(adapted)
    for message in adapted:
        if thought_key is not None and "reasoning_content" in message and not _says_and_calls(message):
            message[thought_key] = message["reasoning_content"]
        _adapt_calls(message, abilities, short_call_ids)
        if not abilities.parts and isinstance(message["content"], list):
            message["content"] = text_of(message["content"])
        if not abilities.texts and isinstance(message["content"], str):
            message["content"] = [{"type": "text", "text": message["content"]}]
    return adapted, given


def _plain(message: dict[str, Any], number: int) -> dict[str, Any]:
    """``message`` with content that is a text, or a list of parts of text."""
    if not isinstance(message.get("role"), str):
        raise UsageError(f"message {number} must have a role")
    content = message.get("content")
    if content is None:
        content = ""
    if isinstance(content, list):
        content = [_text_part(part, number) for part in content]
    elif not isinstance(content, str):
        raise UsageError(f"the content of message {number} must be text or a list of parts")
    role = "system" if message["role"] == "developer" else message["role"]
    return {**message, "role": role, "content": content}


def _text_part(part: object, number: int) -> dict[str, Any]:
    kind = part.get("type", "text") if isinstance(part, Mapping) else None
    if isinstance(part, Mapping) and kind in ("text", "input_text", "output_text"):
        if isinstance(part.get("text"), str):
            return {"type": "text", "text": part["text"]}
        raise UsageError(f"a text part of message {number} has no text")
    if isinstance(part, Mapping) and isinstance(kind, str):
        raise UsageError(
            f"message {number} has a part of type {kind!r:.60}: this model reads text only",
            hint="leave images, audio and files out",
        )
    raise UsageError(f"the parts of message {number} must be objects with a type")


def _name_results(messages: Messages) -> None:
    """Results of tools say which tool they are of: some templates ask for it."""
    names = {
        call.get("id"): call["function"].get("name")
        for message in messages
        for call in message.get("tool_calls") or ()
        if isinstance(call, Mapping) and isinstance(call.get("function"), Mapping)
    }
    for message in messages:
        name = names.get(message.get("tool_call_id"))
        if message["role"] == "tool" and name and not message.get("name"):
            message["name"] = name


def _without_system(messages: Messages) -> Messages:
    told = [text_of(message["content"]) for message in messages if message["role"] == "system"]
    others = [message for message in messages if message["role"] != "system"]
    if not told:
        return others
    for place, message in enumerate(others):
        if message["role"] == "user":
            others[place] = {**message, "content": "\n\n".join([*told, text_of(message["content"])])}
            return others
    return [{"role": "user", "content": "\n\n".join(told)}, *others]


def _adapt_calls(message: dict[str, Any], abilities: Abilities, short_ids: bool) -> None:
    if short_ids and isinstance(message.get("tool_call_id"), str):
        message["tool_call_id"] = _short(message["tool_call_id"])
    calls = message.get("tool_calls")
    if not calls:
        message.pop("tool_calls", None)  # templates ask whether it is there
        return
    message["tool_calls"] = [_adapt_call(call, abilities, short_ids) for call in calls]


def _adapt_call(call: Mapping[str, Any], abilities: Abilities, short_ids: bool) -> dict[str, Any]:
    function = dict(call["function"])
    if abilities.text_arguments and not isinstance(function.get("arguments"), str):
        function["arguments"] = json.dumps(function.get("arguments") or {}, ensure_ascii=False)
    adapted = {**call, "function": function}
    if short_ids and isinstance(call.get("id"), str):
        adapted["id"] = _short(call["id"])
    return adapted


def _says_and_calls(message: Mapping[str, Any]) -> bool:
    """Templates of gpt-oss refuse a thought beside both."""
    return bool(message.get("tool_calls") and message["content"])


def _short(call_id: str) -> str:
    """``call_id`` as nine letters and digits, always the same ones."""
    if len(call_id) == SHORT_ID_LENGTH and call_id.isalnum() and call_id.isascii():
        return call_id
    digest = hashlib.blake2b(call_id.encode("utf-8", "replace"), digest_size=SHORT_ID_LENGTH).digest()
    return "".join(_DIGITS[byte % len(_DIGITS)] for byte in digest)
