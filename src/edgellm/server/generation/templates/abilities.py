"""What a chat template does with messages, found out by giving it some."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from edgellm.errors import EdgeLLMError

__all__ = ["Abilities", "Render", "find_switches", "probe"]

Render = Callable[..., Awaitable[str]]
"""``Engine.render``."""

_NEEDLE, _RESULT, _TOOL = "zq7needle", "zq8result", "zq9tool"
_SWITCHES = ("enable_thinking", "thinking")
_HELLO = {"role": "user", "content": "hello"}


class Abilities(NamedTuple):
    """What comes out of the template again."""

    texts: bool  # content as text
    parts: bool  # content as a list of parts
    system: bool
    tools: bool  # descriptions of tools
    calls: bool  # calls in the messages of the assistant
    results: bool  # messages of the role tool
    text_arguments: bool  # the arguments of calls must be the text of a JSON object


async def probe(render: Render, *, tells_tools: bool = False) -> Abilities:
    """The abilities of the template behind ``render``. ``tells_tools``: where it does not tell of tools, somebody else
    will, and it may know calls all the same."""

    async def shown(messages: list[dict[str, Any]], tool: str = "") -> str:
        """The prompt, empty where the template refuses. Some refuse whatever comes without tools."""
        for name in (tool,) if tool else ("", _TOOL):
            with contextlib.suppress(EdgeLLMError):
                return await render(messages, **({"tools": [_tool(name)]} if name else {}))
        return ""

    def asks(content: Any) -> list[dict[str, Any]]:
        return [{"role": "user", "content": content}]

    parts = await shown(asks([{"type": "text", "text": _NEEDLE}]))
    can_parts = _NEEDLE in parts and not any(quoted in parts for quoted in ("'text'", '"text"'))
    can_texts = _NEEDLE in await shown(asks(_NEEDLE))
    texts = can_texts or not can_parts

    def content(text: str) -> Any:
        return text if texts else [{"type": "text", "text": text}]

    user = {"role": "user", "content": content("hello")}
    can_system = _NEEDLE in await shown([{"role": "system", "content": content(_NEEDLE)}, user])
    can_tools = _NEEDLE in await shown([user], _NEEDLE)
    can_calls, can_results, text_arguments = False, False, False
    if can_tools or tells_tools:
        for text_arguments in (False, True):
            arguments: Any = f'{{"city": "{_NEEDLE}"}}' if text_arguments else {"city": _NEEDLE}
            out = await shown([user, *_called(arguments, content)], _TOOL)
            can_results = can_results or _RESULT in out
            can_calls = f'"{_NEEDLE}"' in out or f">\n{_NEEDLE}\n<" in out or f">{_NEEDLE}<" in out
            if can_calls:
                break
    return Abilities(texts, can_parts, can_system, can_tools, can_calls, can_results, can_calls and text_arguments)


async def find_switches(render: Render) -> tuple[str, ...]:
    """The variables of the template that turn thinking on and off."""
    found = []
    for name in _SWITCHES:
        with contextlib.suppress(EdgeLLMError):
            prompts = {await render([_HELLO], template_variables={name: value}) for value in (True, False)}
            if len(prompts) == 2:
                found.append(name)
    return tuple(found)


def _tool(name: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"city": {"type": "string", "description": "a city"}}}
    return {"type": "function", "function": {"name": name, "description": "weather", "parameters": schema}}


def _called(arguments: Any, content: Callable[[str], Any]) -> list[dict[str, Any]]:
    call = {"id": "abcdefghi", "type": "function", "function": {"name": _TOOL, "arguments": arguments}}
    return [
        {"role": "assistant", "content": content(""), "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "abcdefghi", "name": _TOOL, "content": content(_RESULT)},
    ]
