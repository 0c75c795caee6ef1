"""What Anthropic's clients send (https://docs.anthropic.com/en/api/messages)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

__all__ = [
    "Block",
    "CountRequest",
    "DocumentBlock",
    "Effort",
    "ImageBlock",
    "InputMessage",
    "MessagesRequest",
    "OutputConfig",
    "OutputFormat",
    "RedactedThinkingBlock",
    "ResultBlock",
    "SearchResultBlock",
    "TextBlock",
    "TextSource",
    "ThinkingBlock",
    "ThinkingConfig",
    "ToolChoice",
    "ToolDefinition",
    "ToolResultBlock",
    "ToolUseBlock",
]

Effort = Literal["low", "medium", "high", "xhigh", "max"]


class TextBlock(msgspec.Struct, frozen=True, tag="text"):
    """Text."""

    text: str


class ImageBlock(msgspec.Struct, frozen=True, tag="image"):
    """A picture. Known, so that the refusal can say why."""

    source: dict[str, Any] = {}


class TextSource(msgspec.Struct, frozen=True):
    """What a document is made of; only ``type`` "text" can be read."""

    type: str
    data: str = ""


class DocumentBlock(msgspec.Struct, frozen=True, tag="document"):
    """A document; it is read where its source is plain text."""

    source: TextSource
    title: str | None = None
    context: str | None = None


class SearchResultBlock(msgspec.Struct, frozen=True, tag="search_result"):
    """Text that was found somewhere."""

    source: str
    title: str
    content: tuple[TextBlock, ...] = ()


class ThinkingBlock(msgspec.Struct, frozen=True, tag="thinking"):
    """What the assistant thought. There is no signature to be checked here."""

    thinking: str
    signature: str = ""


class RedactedThinkingBlock(msgspec.Struct, frozen=True, tag="redacted_thinking"):
    """What another server thought and nobody else can read; it is left out."""

    data: str = ""


class ToolUseBlock(msgspec.Struct, frozen=True, tag="tool_use"):
    """A call that the assistant made."""

    id: str
    name: str
    input: dict[str, Any] = {}


ResultBlock = TextBlock | ImageBlock | DocumentBlock | SearchResultBlock


class ToolResultBlock(msgspec.Struct, frozen=True, tag="tool_result"):
    """What came of a call."""

    tool_use_id: str
    content: str | tuple[ResultBlock, ...] | None = None
    is_error: bool = False


Block = ResultBlock | ThinkingBlock | RedactedThinkingBlock | ToolUseBlock | ToolResultBlock


class InputMessage(msgspec.Struct, frozen=True):
    """One turn."""

    role: Literal["user", "assistant", "system"]
    content: str | tuple[Block, ...]


class ToolDefinition(msgspec.Struct, frozen=True):
    """A tool of the client's. Those with another ``type`` are run, or defined, by Anthropic's own servers."""

    name: str
    input_schema: dict[str, Any] | None = None
    description: str = ""
    type: str | None = "custom"


class ToolChoice(msgspec.Struct, frozen=True):
    """Whether tools are called. ``name`` belongs to the type "tool"."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool = False


class ThinkingConfig(msgspec.Struct, frozen=True):
    """Whether the model thinks first. ``budget_tokens`` is accepted, and the model decides for how long it thinks;
    "omitted" shows that it thought, not what."""

    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: int | None = None
    display: Literal["summarized", "omitted"] | None = None


class OutputFormat(msgspec.Struct, frozen=True):
    """A JSON schema that the whole text of the answer follows."""

    type: Literal["json_schema"]
    schema: dict[str, Any]


class OutputConfig(msgspec.Struct, frozen=True):
    """Form and effort of the answer."""

    effort: Effort | None = None
    format: OutputFormat | None = None


class CountRequest(msgspec.Struct, frozen=True, kw_only=True):
    """POST /v1/messages/count_tokens"""

    model: str
    messages: Annotated[tuple[InputMessage, ...], msgspec.Meta(min_length=1)]
    system: str | tuple[TextBlock, ...] = ()
    tools: tuple[ToolDefinition, ...] = ()
    tool_choice: ToolChoice | None = None
    thinking: ThinkingConfig | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None  # an earlier place of output_config.format


class MessagesRequest(CountRequest, frozen=True, kw_only=True):
    """POST /v1/messages"""

    max_tokens: Annotated[int, msgspec.Meta(ge=1)]
    stream: bool = False
    stop_sequences: tuple[str, ...] = ()
    temperature: float | None = None
    top_k: Annotated[int, msgspec.Meta(ge=0)] | None = None
    top_p: float | None = None
