"""What clients of Ollama send, as its API documents it. Keys that are not here are ignored."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

__all__ = [
    "ChatBody",
    "CopyBody",
    "CreateBody",
    "EmbedBody",
    "EmbeddingsBody",
    "GenerateBody",
    "Message",
    "ModelBody",
    "PullBody",
    "ShowBody",
    "Think",
    "ToolCall",
    "ToolFunction",
]

Think = bool | Literal["low", "medium", "high", ""]
KeepAlive = str | float


class ToolFunction(msgspec.Struct, frozen=True):
    """The function of a tool call. ``arguments`` is an object; its text as JSON is taken too."""

    name: str
    arguments: dict[str, Any] | str = {}
    index: int = 0


class ToolCall(msgspec.Struct, frozen=True):
    """A call of a tool that an assistant's message made."""

    function: ToolFunction
    id: str = ""


class Message(msgspec.Struct, frozen=True):
    """One message of a chat. ``images`` are base64."""

    role: str
    content: str | None = None
    thinking: str | None = None
    images: list[str] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


class _Common(msgspec.Struct, frozen=True, kw_only=True):
    """What generate and chat have in common. ``name`` is the old word for ``model``."""

    model: str = ""
    name: str = ""
    stream: bool | None = None
    format: Any = None  # "json" or a JSON schema
    keep_alive: KeepAlive | None = None
    options: dict[str, Any] | None = None
    think: Think | None = None
    truncate: bool | None = None
    shift: bool | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None


class GenerateBody(_Common, frozen=True, kw_only=True):
    """POST /api/generate"""

    prompt: str | None = None
    suffix: str | None = None
    system: str | None = None
    template: str | None = None
    context: list[int] | None = None
    raw: bool | None = None
    images: list[str] | None = None


class ChatBody(_Common, frozen=True, kw_only=True):
    """POST /api/chat. ``tools`` are OpenAI's function objects."""

    messages: list[Message] | None = None
    tools: list[dict[str, Any]] | None = None


class EmbedBody(msgspec.Struct, frozen=True, kw_only=True):
    """POST /api/embed"""

    model: str = ""
    name: str = ""
    input: str | list[str] | None = None
    truncate: bool | None = None
    dimensions: int | None = None
    keep_alive: KeepAlive | None = None
    options: dict[str, Any] | None = None


class EmbeddingsBody(msgspec.Struct, frozen=True, kw_only=True):
    """POST /api/embeddings"""

    model: str = ""
    name: str = ""
    prompt: str | None = None
    keep_alive: KeepAlive | None = None
    options: dict[str, Any] | None = None


class ModelBody(msgspec.Struct, frozen=True, kw_only=True):
    """What names a model and no more: DELETE /api/delete, POST /api/push."""

    model: str = ""
    name: str = ""


class ShowBody(msgspec.Struct, frozen=True, kw_only=True):
    """POST /api/show. ``system`` and ``template`` replace the model's own in the answer."""

    model: str = ""
    name: str = ""
    verbose: bool | None = None
    system: str | None = None
    template: str | None = None
    options: dict[str, Any] | None = None


class CopyBody(msgspec.Struct, frozen=True, kw_only=True):
    """POST /api/copy"""

    source: str = ""
    destination: str = ""


class PullBody(msgspec.Struct, frozen=True, kw_only=True):
    """POST /api/pull"""

    model: str = ""
    name: str = ""
    insecure: bool | None = None
    stream: bool | None = None


class CreateBody(msgspec.Struct, frozen=True, kw_only=True):
    """POST /api/create. ``files`` and ``adapters``: file name -> digest of an uploaded blob."""

    model: str = ""
    name: str = ""
    from_: str = msgspec.field(name="from", default="")
    files: dict[str, str] | None = None
    adapters: dict[str, str] | None = None
    template: str | None = None
    system: str | None = None
    license: str | list[str] | None = None
    parameters: dict[str, Any] | None = None
    messages: list[Message] | None = None
    quantize: str | None = None
    stream: bool | None = None
    modelfile: str | None = None  # of clients from before 2025
