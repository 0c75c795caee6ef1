"""Which form of calls a chat template speaks of."""

from __future__ import annotations

from edgellm.server.generation.calls.deepseek import DEEPSEEK, DEEPSEEK_FENCED
from edgellm.server.generation.calls.form import CallForm
from edgellm.server.generation.calls.glm import GLM, GLM_TIGHT
from edgellm.server.generation.calls.granite import GRANITE
from edgellm.server.generation.calls.harmony import HARMONY
from edgellm.server.generation.calls.hermes import HERMES, QWEN_TAGS
from edgellm.server.generation.calls.llama3 import LLAMA3
from edgellm.server.generation.calls.mistral import MISTRAL, MISTRAL_ARGS
from edgellm.server.generation.calls.pythonic import LFM2

__all__ = ["call_form"]


def call_form(template: str) -> CallForm | None:
    """The form that ``template`` asks the model for, None where it speaks of none that is known."""
    if "<|channel|>" in template and "<|message|>" in template:
        return HARMONY
    if "<｜tool▁calls▁begin｜>" in template:
        return DEEPSEEK_FENCED if "```json" in template else DEEPSEEK
    if "[TOOL_CALLS]" in template:
        return MISTRAL_ARGS if "[ARGS]" in template else MISTRAL
    if "<|tool_call|>" in template:
        return GRANITE
    if "<tool_call>" in template:
        if "<arg_key>" in template:
            return GLM if "\n<arg_key>" in template else GLM_TIGHT
        return QWEN_TAGS if "<function=" in template else HERMES
    if "<|python_tag|>" in template or '"parameters": dictionary of argument name' in template:
        return LLAMA3
    return LFM2 if "List of tools: " in template else None
