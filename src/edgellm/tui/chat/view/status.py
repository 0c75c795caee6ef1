"""The line above the prompt: what goes on, and how full the context is."""

from __future__ import annotations

from dataclasses import dataclass

from textual.content import Content

from edgellm.units import format_bytes, format_duration

__all__ = ["ChatStatus", "LoadingState", "context_bar", "loading_text"]

_BAR_CELLS = 10


@dataclass(frozen=True)
class LoadingState:
    """How far the load of a model has come."""

    name: str
    phase: str
    done_bytes: int = 0
    total_bytes: int | None = None
    elapsed_s: float = 0.0


@dataclass(frozen=True)
class ChatStatus:
    """What the line shows. ``problem`` is why the conversation is not on the disk."""

    model: str
    activity: str = ""  # while an answer is made
    settings: str = ""  # those that are not the model's own
    attached: int = 0
    used_tokens: int = 0
    context_tokens: int = 0
    dropped: int = 0
    problem: str = ""
    note: str = ""
    is_kept: bool = True

    def content(self, width: int) -> Content:
        """The line, in ``width`` columns; the left side gives way."""
        right = context_bar(self.used_tokens, self.context_tokens, wide=width >= 100)
        parts: list[tuple[str, str]] = [(self.model or "no model", "bold")]
        if self.problem:
            parts.append((f"not saved: {self.problem}", "bold $text-error"))
        if self.activity:
            parts.append((self.activity, "$text-accent"))
        if self.note:
            parts.append((self.note, "$text-warning"))
        if self.dropped:
            parts.append((f"first {self.dropped} messages left out", "$text-warning"))
        if self.attached:
            parts.append((f"{self.attached} attached", "$text-accent"))
        if not self.is_kept:
            parts.append(("not kept", "$text-muted"))
        if self.settings:
            parts.append((self.settings, "$text-muted"))
        left = Content(" · ").join(Content.styled(text, style) for text, style in parts)
        room = max(width - right.cell_length - 1, 0)
        return Content.assemble(left.truncate(room, ellipsis=True, pad=True), " ", right)


def context_bar(used: int, size: int, *, wide: bool) -> Content:
    """Tokens in the context, as numbers and, where there is room, as a bar."""
    if not size:
        return Content("")
    share = min(used / size, 1.0)
    style = "$text-error" if share >= 0.95 else "$text-warning" if share >= 0.8 else "$text-muted"
    text = f"{used}/{size} {share:.0%}"
    if not wide:
        return Content.styled(text, style)
    filled = round(share * _BAR_CELLS)
    return Content.styled(f"{'█' * filled}{'░' * (_BAR_CELLS - filled)} {text}", style)


def loading_text(state: LoadingState | None, waited_s: float) -> str:
    """What an answer waits for."""
    if state is None:
        return f"reading the prompt, {format_duration(waited_s)}" if waited_s >= 1 else "reading the prompt"
    if state.total_bytes:
        share = min(state.done_bytes / state.total_bytes, 1.0)
        return f"loading {state.name}: {state.phase}, {share:.0%} of {format_bytes(state.total_bytes)}"
    return f"loading {state.name}: {state.phase}, {format_duration(state.elapsed_s)}"
