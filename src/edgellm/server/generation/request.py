"""What is asked of a model, in no dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from edgellm.bundle.chat_defaults import with_default_messages
from edgellm.bundle.plan import Plan
from edgellm_runtimes.generation import AdapterUse, Overflow
from edgellm_runtimes.grammar import Grammar

__all__ = ["AnswerOptions", "ChatRequest", "CompletionRequest", "NamedTool", "ToolChoice", "with_bundle_defaults"]


class NamedTool(msgspec.Struct, frozen=True):
    """The one tool that must be called."""

    name: str


ToolChoice = Literal["auto", "none", "required"] | NamedTool


class AnswerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How answers are made. ``sampling`` has the fields of SamplingParams that the request names, and no others: what
    it does not name is the model's own default, else ours."""

    sampling: Mapping[str, Any] = {}
    stop: tuple[str, ...] = ()
    choices: int = 1
    deadline_s: float | None = None
    overflow: Overflow = "error"
    keep: int = 0
    grammar: Grammar | None = None
    adapters: tuple[AdapterUse, ...] = ()
    scope: str = ""  # of the caller: who may reuse the prefixes that this request computes
    save: bool = False


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Messages to be answered.

    ``messages`` have the form that Hugging Face's chat templates read: role, content (text, or parts), tool_calls
    (each with id, type "function" and function with name and arguments as an object), tool_call_id, name,
    reasoning_content. ``tools`` are OpenAI's function objects; those that ``tool_choice`` requires or names are called
    for certain. ``thinking`` None leaves it to the template; an effort ("low", "medium", "high") turns it on and is
    handed to templates that know efforts. ``documents`` are for templates that read them (title, text). With
    ``continue_last`` the answer goes on where a last message of the assistant ends. A JSON schema in ``options`` holds
    for what is said, not for thoughts and calls.
    """

    messages: tuple[Mapping[str, Any], ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool = True
    thinking: bool | Literal["low", "medium", "high"] | None = None
    documents: tuple[Mapping[str, Any], ...] = ()
    continue_last: bool = False
    template_variables: Mapping[str, Any] = {}
    options: AnswerOptions = AnswerOptions()


class CompletionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A text, or token ids, to be continued as they are."""

    prompt: str | tuple[int, ...]
    options: AnswerOptions = AnswerOptions()


def with_bundle_defaults(plan: Plan, request: ChatRequest) -> ChatRequest:
    """``request`` behind the messages of the bundle."""
    messages = tuple(with_default_messages(plan, request.messages))
    return request if messages == request.messages else msgspec.structs.replace(request, messages=messages)
