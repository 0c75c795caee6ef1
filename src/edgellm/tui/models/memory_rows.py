"""Which model takes how much memory, as rows."""

from __future__ import annotations

from typing import NamedTuple

from edgellm.api.models import ModelStatus
from edgellm.api.watching import Statistics
from edgellm.tui.models.rates import ActivityHistory
from edgellm.tui.models.text import NOBODY_KNOWS, Tone, one_line
from edgellm.units import format_bytes, format_duration

__all__ = ["MemoryRow", "memory_rows", "room_text"]

_TONES: dict[str, Tone] = {"ready": "good", "loading": "busy", "restarting": "bad"}


class MemoryRow(NamedTuple):
    """One model in memory, or on its way."""

    digest: str
    name: str
    state: str
    tone: Tone
    used: str  # now
    needed: str  # when all that it reserves is in use
    requests: str
    speed: str
    stays: str


def memory_rows(statistics: Statistics, history: ActivityHistory) -> list[MemoryRow]:
    """The models, the largest first."""
    models = sorted(
        (model.status for model in statistics.models), key=lambda status: (-(status.needed_bytes or 0), status.name)
    )
    return [_row(status, history) for status in models]


def room_text(statistics: Statistics) -> str:
    """What models may take, and what is left of it."""
    room = statistics.memory
    if room.models_bytes >= 1 << 62:  # nothing is known about this machine: what is free decides
        return f"{format_bytes(max(0, room.left_bytes))} left for another model"
    left = "nothing" if room.left_bytes <= 0 else format_bytes(room.left_bytes)
    return f"models may take {format_bytes(room.models_bytes)} together, {left} left for another one"


def _row(status: ModelStatus, history: ActivityHistory) -> MemoryRow:
    rate = history.model_rate(status.digest)
    used = status.used_bytes
    in_process = used is None and status.state == "ready" and status.isolation == "process"
    return MemoryRow(
        digest=status.digest,
        name=one_line(status.name),
        state=_state(status),
        tone=_TONES.get(status.state, "warning"),
        used="in the server" if in_process else NOBODY_KNOWS if used is None else format_bytes(used),
        needed=NOBODY_KNOWS if status.needed_bytes is None else format_bytes(status.needed_bytes),
        requests=str(status.requests),
        speed="-" if not rate else f"{rate:.1f}",
        stays=_stays(status),
    )


def _state(status: ModelStatus) -> str:
    progress = status.progress
    if status.state != "loading" or progress is None:
        return status.state
    if progress.total_bytes:
        return f"{one_line(progress.phase)} {100 * progress.done_bytes // progress.total_bytes} %"
    return one_line(progress.phase)


def _stays(status: ModelStatus) -> str:
    if status.pinned:
        return "pinned"
    if status.state != "ready" or status.requests:
        return "-"
    return "for ever" if status.expires_in_s is None else format_duration(status.expires_in_s)
