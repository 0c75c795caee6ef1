"""Requests and answers of chats."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from edgellm.server.dialects.openai.formats import ResponseFormat
from edgellm.server.dialects.openai.logprobs import TokenLogprob
from edgellm.server.dialects.openai.options import GenerationFields
from edgellm.server.dialects.openai.usage import Usage

__all__ = [
    "AnswerMessage",
    "ChatAnswer",
    "ChatBody",
    "ChatChoice",
    "ChatLogprobs",
    "ChatMessage",
    "Function",
    "FunctionCall",
    "FunctionTool",
    "GivenCall",
    "NamedFunction",
    "ToolCall",
    "ToolChoiceObject",
]


class FunctionCall(msgspec.Struct):
    """``arguments`` is the text of a JSON object."""

    name: str
    arguments: str | dict[str, Any] = "{}"


class GivenCall(msgspec.Struct):
    """A call in a message of the assistant."""

    function: FunctionCall
    id: str = ""
    type: str = "function"


class ChatMessage(msgspec.Struct, kw_only=True):
    """One message of a request."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None
    tool_calls: list[GivenCall] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None  # another name for it


class Function(msgspec.Struct):
    """``parameters`` is a JSON schema."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class FunctionTool(msgspec.Struct):
    """A tool that the model may call."""

    type: str
    function: Function | None = None


class NamedFunction(msgspec.Struct):
    """A function by its name."""

    name: str


class ToolChoiceObject(msgspec.Struct):
    """The function that must be called."""

    type: str
    function: NamedFunction | None = None


class ChatBody(GenerationFields, kw_only=True):
    """The body of POST /v1/chat/completions."""

    messages: list[ChatMessage]
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    tools: list[FunctionTool] | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolChoiceObject | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    functions: list[Any] | None = None
    function_call: Any = None

    chat_template_kwargs: dict[str, Any] | None = None
    documents: tuple[dict[str, Any], ...] = ()
    continue_final_message: bool = False


class ToolCall(msgspec.Struct):
    """A call in an answer."""

    id: str
    function: FunctionCall
    type: str = "function"


class AnswerMessage(msgspec.Struct, omit_defaults=True):
    """The message of an answer."""

    role: str
    content: str | None
    refusal: None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] = msgspec.field(default_factory=list)


class ChatLogprobs(msgspec.Struct):
    """Of the tokens that are shown."""

    content: list[TokenLogprob]
    refusal: None = None


class ChatChoice(msgspec.Struct):
    """One of the answers."""

    index: int
    message: AnswerMessage
    logprobs: ChatLogprobs | None
    finish_reason: str


class ChatAnswer(msgspec.Struct):
    """A whole answer."""

    id: str
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage
    system_fingerprint: str
    object: str = "chat.completion"
