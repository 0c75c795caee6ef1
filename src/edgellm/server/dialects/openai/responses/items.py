"""The items of a request's input as messages of a chat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgellm.errors import UsageError
from edgellm.server.dialects.openai.chat.translation import read_arguments

__all__ = ["input_messages"]

_ROLES = ("system", "developer", "user", "assistant")


def input_messages(given: str | Sequence[Mapping[str, Any]], instructions: str | None) -> list[dict[str, Any]]:
    """The messages of ``given``, behind ``instructions``. What the assistant thought, said and called between two
    messages of others is one message. Raises UsageError for items that are unknown or off."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": instructions}] if instructions else []
    if isinstance(given, str):
        return [*messages, {"role": "user", "content": given}]
    for number, item in enumerate(given):
        match item.get("type", "message"):
            case "message":
                _add_message(messages, item, number)
            case "function_call":
                name, call_id = _text(item, "name", number), _text(item, "call_id", number)
                arguments = read_arguments(item.get("arguments") or {}, name)
                call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
                _turn(messages).setdefault("tool_calls", []).append(call)
            case "function_call_output":
                call_id = _text(item, "call_id", number)
                messages.append({"role": "tool", "tool_call_id": call_id, "content": item.get("output") or ""})
            case "reasoning":
                thought = "\n".join(
                    str(part.get("text", ""))
                    for part in item.get("content") or item.get("summary") or ()
                    if isinstance(part, Mapping)
                )
                if thought:
                    _turn(messages)["reasoning_content"] = thought
            case other:
                raise UsageError(f"item {number} of the input is of type {other!r:.60}, which is not known here")
    return messages


def _add_message(messages: list[dict[str, Any]], item: Mapping[str, Any], number: int) -> None:
    role, content = item.get("role"), item.get("content")
    if role not in _ROLES:
        raise UsageError(f"item {number} of the input has the role {role!r:.60}; it must be one of {', '.join(_ROLES)}")
    if role == "assistant":
        turn = _turn(messages)
        if turn["content"] is None and "tool_calls" not in turn:
            turn["content"] = content
            return
    messages.append({"role": role, "content": content})


def _turn(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """The message of the assistant that is still open, or a new one."""
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": None})
    return messages[-1]


def _text(item: Mapping[str, Any], key: str, number: int) -> str:
    value = item.get(key)
    if not isinstance(value, str) or not value:
        raise UsageError(f"item {number} of the input needs {key}, a text")
    return value
