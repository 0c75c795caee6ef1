"""The system prompt of a pack: refused early where it can be, its tokens found when the model file is there."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgellm.bundle.system_prompt import SystemPrompt, make_system_prompt
from edgellm.errors import DoesNotFitError, UnsupportedError, UsageError
from edgellm_converters.pack.plan_builder import build_plan

if TYPE_CHECKING:
    from edgellm.bundle.writer import BundleWriter
    from edgellm.progress import CancelToken, Progress
    from edgellm_converters.pack.choose import Target
    from edgellm_converters.pack.model_files import ModelFiles
    from edgellm_converters.pack.model_input import SourceFacts
    from edgellm_converters.pack.request import PackRequest, ReadPrompt

__all__ = ["bake_prompt", "prompt_outline"]

_STAND_IN = (0,)


def prompt_outline(request: PackRequest, facts: SourceFacts) -> SystemPrompt | None:
    """The system prompt before its tokens are known. Raises UsageError for a model without a chat template."""
    if not request.system_prompt:
        return None
    if facts.chat_template is None:
        raise UsageError(
            f"{facts.name} has no chat template: a system prompt has no place in it",
            hint="leave --system out; a base model continues the text that it is given",
        )
    return make_system_prompt(request.system_prompt, _STAND_IN)


def bake_prompt(
    request: PackRequest,
    facts: SourceFacts,
    targets: Sequence[Target],
    files: Sequence[ModelFiles],
    writer: BundleWriter,
    read_prompt: ReadPrompt | None,
    progress: Progress,
    cancel: CancelToken,
) -> SystemPrompt | None:
    """The system prompt with its tokens, the same for all targets: they depend on vocabulary and template alone.

    Raises DoesNotFitError when it leaves no room for a conversation, and what ``read_prompt`` raises.
    """
    if not request.system_prompt:
        return None
    if read_prompt is None:
        raise UnsupportedError("a system prompt cannot be baked without a runtime that reads it")
    progress.phase("system prompt")
    first = targets[0]
    plan = build_plan(first.device, first.choice, facts, {})
    with contextlib.ExitStack() as stack:
        path, parts = files[0].readable(writer, stack)
        found = read_prompt(path, plan, request.system_prompt, cancel, parts)
    context = min(target.choice.settings.context for target in targets)
    if len(found.tokens) >= context:
        raise DoesNotFitError(
            f"the system prompt has {len(found.tokens)} tokens, the context {context}",
            hint="shorten it, or ask for a larger --context",
        )
    if not found.tokens:
        raise UnsupportedError(
            "the model's chat template puts the date or the message before the system prompt: nothing of it stays the "
            "same from chat to chat",
            hint="leave --system out",
        )
    if found.dated:
        progress.message(
            f"note: the chat template writes the date before the user's message: of the system prompt only the "
            f"{len(found.tokens)} tokens before it are the same every day"
        )
    return make_system_prompt(request.system_prompt, found.tokens)
