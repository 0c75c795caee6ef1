"""Requests and answers of the Responses API."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from edgellm.server.dialects.openai.options import GenerationFields

__all__ = ["Reasoning", "ResponsesBody", "TextFormat", "TextOptions"]


class Reasoning(msgspec.Struct):
    """How much is to be thought."""

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    summary: str | None = None


class TextFormat(msgspec.Struct):
    """The format of the text."""

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    schema: dict[str, Any] | None = None
    description: str | None = None
    strict: bool | None = None


class TextOptions(msgspec.Struct):
    """How the text should be."""

    format: TextFormat | None = None
    verbosity: str | None = None


class ResponsesBody(GenerationFields, kw_only=True):
    """The body of POST /v1/responses."""

    input: str | list[dict[str, Any]]
    instructions: str | None = None
    max_output_tokens: int | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    reasoning: Reasoning | None = None
    metadata: dict[str, str] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    top_logprobs: int | None = None
    include: list[str] | None = None
    store: bool | None = None
    previous_response_id: str | None = None
    conversation: Any = None
    prompt: Any = None
    background: bool | None = None

    chat_template_kwargs: dict[str, Any] | None = None
