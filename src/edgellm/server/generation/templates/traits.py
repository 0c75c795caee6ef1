"""What the text of a chat template says about the model."""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

from edgellm.server.generation.calls.form import CallForm
from edgellm.server.generation.calls.recognise import call_form

__all__ = ["TemplateTraits", "ThinkingMarkers", "read_traits"]


class ThinkingMarkers(NamedTuple):
    """What stands around a thought."""

    opens: str
    closes: str
    gap: str = "\n\n"  # around the end of a thought that is none


_MARKERS = (
    ThinkingMarkers("<think>", "</think>"),
    ThinkingMarkers("[THINK]", "[/THINK]"),  # Magistral
    ThinkingMarkers("<seed:think>", "</seed:think>"),
    ThinkingMarkers("<|START_THINKING|>", "<|END_THINKING|>"),  # Command
    ThinkingMarkers("<|inner_prefix|>", "<|inner_suffix|>"),  # Apertus
    ThinkingMarkers("<thought>", "</thought>"),  # EXAONE Deep
    ThinkingMarkers("◁think▷", "◁/think▷"),  # Kimi
    ThinkingMarkers("<|channel|>analysis<|message|>", "<|end|><|start|>assistant", ""),  # gpt-oss
    ThinkingMarkers("Here is my thought process:", "Here is my response:"),  # Granite 3.2
)
_EFFORTS = ("reasoning_effort", "thinking_effort")


class TemplateTraits(NamedTuple):
    """``efforts`` are the variables of the template that say how much is thought."""

    thinking: ThinkingMarkers | None
    efforts: tuple[str, ...]
    calls: CallForm | None
    short_call_ids: bool  # it refuses ids that are not nine letters and digits
    thought_key: str | None = None  # of messages, where it reads thoughts from another than reasoning_content


@functools.lru_cache(maxsize=32)
def read_traits(template: str) -> TemplateTraits:
    """The traits of ``template``."""
    thinking = next((pair for pair in _MARKERS if pair.closes in template or _is_harmony(pair, template)), None)
    return TemplateTraits(
        thinking=thinking,
        efforts=tuple(name for name in _EFFORTS if _is_read(name, template)),
        calls=call_form(template),
        thought_key="thinking" if "message.thinking" in template and "reasoning_content" not in template else None,
        short_call_ids=re.search(r"length\s*!=\s*9|length 9", template) is not None,
    )


def _is_harmony(pair: ThinkingMarkers, template: str) -> bool:
    return pair.opens.startswith("<|channel|>") and pair.opens in template


def _is_read(name: str, template: str) -> bool:
    """True when a tag of ``template`` reads the variable ``name``."""
    return re.search(rf"\{{[%{{][^%}}]*(?<![.\w'\"\[]){name}\b", template) is not None
