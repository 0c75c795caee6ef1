"""How an answer went, in a line."""

from __future__ import annotations

from edgellm.tui.chat.records import Message
from edgellm.units import format_duration

__all__ = ["answer_line", "context_share", "ending"]

_ENDS = {
    "length": "cut off at the limit",
    "deadline": "cut off at the deadline",
    "stopped": "stopped",
    "interrupted": "interrupted",
}


def ending(message: Message) -> str:
    """Why an answer is not whole; nothing where it is."""
    end = _ENDS.get(message.finish or "", "")
    return f"{end}: {message.error}" if message.error else end


def answer_line(message: Message) -> str:
    """Time to the first token, speed of prefill and decode, tokens, and how it ended where it is not whole."""
    parts = []
    if message.first_s:
        parts.append(f"first token {format_duration(message.first_s)}")
    if (stats := message.stats) is not None:
        cached = f" ({stats.cached_tokens} kept)" if stats.cached_tokens else ""
        speed = f" at {stats.prompt_tokens_per_s:.0f}/s" if stats.prompt_tokens > stats.cached_tokens else ""
        parts.append(f"prompt {stats.prompt_tokens}{cached}{speed}")
        decode = f" at {stats.decode_tokens_per_s:.1f}/s" if stats.decode_tokens_per_s else ""
        parts.append(f"answer {stats.generated_tokens}{decode}")
    return " · ".join([*parts, *filter(None, [ending(message)])])


def context_share(message: Message | None) -> tuple[int, int]:
    """Tokens in the context after an answer, and how many it holds; zeros where nobody knows."""
    if message is None or message.stats is None:
        return 0, message.context if message is not None else 0
    used = message.stats.prompt_tokens + message.stats.generated_tokens - message.stats.dropped_tokens
    return min(used, message.context) if message.context else used, message.context
