"""Anthropic's requests as requests in no dialect."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from edgellm.errors import UsageError
from edgellm.server.dialects.anthropic.requests import (
    Block,
    CountRequest,
    DocumentBlock,
    ImageBlock,
    InputMessage,
    MessagesRequest,
    RedactedThinkingBlock,
    ResultBlock,
    SearchResultBlock,
    TextBlock,
    ThinkingBlock,
    ToolDefinition,
    ToolResultBlock,
    ToolUseBlock,
)
from edgellm.server.generation.request import AnswerOptions, ChatRequest, NamedTool, ToolChoice
from edgellm_runtimes.grammar import Grammar

__all__ = ["chat_request"]

_EFFORTS = {"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}


def chat_request(body: CountRequest, scope: str = "") -> ChatRequest:
    """The chat that ``body`` asks for. Raises UsageError for what this server cannot give to a model."""
    return ChatRequest(
        messages=tuple(_messages(body)),
        tools=tuple(_tool(each) for each in body.tools),
        tool_choice=_tool_choice(body),
        parallel_tool_calls=body.tool_choice is None or not body.tool_choice.disable_parallel_tool_use,
        thinking=_thinking(body),  # type: ignore[arg-type]  # the values of _EFFORTS
        continue_last=True,
        options=_options(body, scope),
    )


def _options(body: CountRequest, scope: str) -> AnswerOptions:
    if not isinstance(body, MessagesRequest):
        return AnswerOptions(scope=scope)
    names = ("max_tokens", "temperature", "top_k", "top_p")
    sampling = {name: value for name in names if (value := getattr(body, name)) is not None}
    wanted = (body.output_config.format if body.output_config is not None else None) or body.output_format
    grammar = None if wanted is None else Grammar("json_schema", msgspec.json.encode(wanted.schema).decode())
    return AnswerOptions(sampling=sampling, stop=body.stop_sequences, grammar=grammar, scope=scope)


def _thinking(body: CountRequest) -> bool | str | None:
    """Who says nothing of thinking gets none, as from Anthropic; other kinds leave it to the model."""
    if body.thinking is None or body.thinking.type == "disabled":
        return False
    if body.output_config is not None and body.output_config.effort is not None:
        return _EFFORTS[body.output_config.effort]
    return True if body.thinking.type == "enabled" else None


def _tool(tool: ToolDefinition) -> dict[str, Any]:
    if tool.type not in (None, "custom"):
        raise UsageError(
            f"tool {tool.name!r} is of type {tool.type!r}, which only Anthropic's own servers know",
            hint='define it with "input_schema" and type "custom"',
        )
    if tool.input_schema is None:
        raise UsageError(f"tool {tool.name!r} has no input_schema")
    function = {"name": tool.name, "description": tool.description, "parameters": tool.input_schema}
    return {"type": "function", "function": function}


def _tool_choice(body: CountRequest) -> ToolChoice:
    choice = body.tool_choice
    if choice is None or choice.type == "auto":
        return "auto"
    if choice.type == "none":
        return "none"
    if not body.tools:
        raise UsageError(f'tool_choice is "{choice.type}", but there are no tools')
    if choice.type == "any":
        return "required"
    if not any(tool.name == choice.name for tool in body.tools):
        raise UsageError(f"tool_choice names {choice.name!r}, which is none of the tools")
    return NamedTool(str(choice.name))


def _messages(body: CountRequest) -> Iterator[dict[str, Any]]:
    """Turns of the same role that follow each other are one turn, as with Anthropic."""
    system = body.system if isinstance(body.system, str) else "\n".join(block.text for block in body.system)
    if system:
        yield {"role": "system", "content": system}
    names = _tool_names(body.messages)
    for role, turns in itertools.groupby(body.messages, key=lambda message: message.role):
        blocks = [block for turn in turns for block in _blocks(turn)]
        yield from _assistant(blocks) if role == "assistant" else _others(role, blocks, names)


def _blocks(message: InputMessage) -> Sequence[Block]:
    return (TextBlock(message.content),) if isinstance(message.content, str) else message.content


def _tool_names(messages: Sequence[InputMessage]) -> dict[str, str]:
    """The tool of every call, by the call's id: templates want names where Anthropic's results have ids."""
    calls = (block for message in messages for block in _blocks(message) if isinstance(block, ToolUseBlock))
    return {call.id: call.name for call in calls}


def _assistant(blocks: Sequence[Block]) -> Iterator[dict[str, Any]]:
    texts, thoughts, calls = [], [], []
    for block in blocks:
        match block:
            case TextBlock():
                texts.append(block.text)
            case ThinkingBlock():
                thoughts.append(block.thinking)
            case RedactedThinkingBlock():
                pass
            case ToolUseBlock():
                function = {"name": block.name, "arguments": block.input}
                calls.append({"id": block.id, "type": "function", "function": function})
            case _:
                raise UsageError(f"an assistant's turn cannot hold a {_kind(block)} block")
    message: dict[str, Any] = {"role": "assistant", "content": "\n".join(texts)}
    if thoughts:
        message["reasoning_content"] = "\n".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    yield message


def _others(role: str, blocks: Sequence[Block], names: dict[str, str]) -> Iterator[dict[str, Any]]:
    """The turns of a user or a system: results of tools first, each a message of its own, then the text."""
    texts = []
    for block in blocks:
        match block:
            case ToolResultBlock():
                yield _tool_result(block, names)
            case TextBlock() | ImageBlock() | DocumentBlock() | SearchResultBlock():
                texts.append(_text(block))
            case _:
                raise UsageError(f"a {role}'s turn cannot hold a {_kind(block)} block")
    if texts or not blocks:
        yield {"role": role, "content": "\n".join(texts)}


def _tool_result(block: ToolResultBlock, names: dict[str, str]) -> dict[str, Any]:
    if block.tool_use_id not in names:
        raise UsageError(f"tool_result names {block.tool_use_id!r}, which is no tool_use of the messages before")
    content = block.content or ""
    text = content if isinstance(content, str) else "\n".join(_text(part) for part in content)
    if block.is_error:
        text = f"Error: {text}"
    return {"role": "tool", "content": text, "tool_call_id": block.tool_use_id, "name": names[block.tool_use_id]}


@functools.singledispatch
def _text(block: ResultBlock) -> str:
    """What a model can read of ``block``."""
    raise UsageError("images cannot be read here: models of this server read text", hint="leave the image out")


@_text.register
def _(block: TextBlock) -> str:
    return block.text


@_text.register
def _(block: DocumentBlock) -> str:
    if block.source.type != "text":
        raise UsageError(
            f"a document of type {block.source.type!r} cannot be read here", hint='send it as text: type "text"'
        )
    return "\n".join(part for part in (block.title, block.context, block.source.data) if part)


@_text.register
def _(block: SearchResultBlock) -> str:
    return "\n".join([block.title, block.source, *(part.text for part in block.content)])


def _kind(block: Block) -> str:
    return str(block.__struct_config__.tag)
