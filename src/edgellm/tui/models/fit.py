"""What POST /api/edgellm/fit says, as rows and words."""

from __future__ import annotations

from typing import Any

import msgspec

from edgellm.tui.models.listing import Speed
from edgellm.units import format_bytes

__all__ = ["FitAnswer", "FitRow", "fit_cells", "fit_order", "fit_summary"]


_MEASURE = "How fast this device is nobody has measured yet: `edgellm devices detect --measure` finds it out."
_MEASURE_THERE = "How fast that device is nobody has measured: `edgellm devices detect --measure` there finds it out."


class FitRow(msgspec.Struct, frozen=True, kw_only=True):
    """One recipe on the device."""

    recipe: str
    format: str = "gguf"  # or onnx
    size_bytes: int
    verdict: str  # fits, tight, does not fit
    memory: dict[str, Any] = {}
    memory_available_bytes: int = 0
    decode: Speed | None = None
    note: str = ""
    chosen: bool = False

    @property
    def needed_bytes(self) -> int:
        """All that it takes."""
        return int(self.memory.get("total_bytes", 0))


class FitAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The whole answer; ``problem`` where nothing fits."""

    device: str
    memory_bytes: int
    choice: str | None = None
    context: int | None = None
    why: str | None = None
    format_why: str | None = None  # why it is in this format, where both were compared
    problem: str | None = None
    hint: str | None = None
    rows: list[FitRow] = []


def fit_cells(row: FitRow) -> tuple[str, str, str, str, str, str]:
    """Recipe, format, size, memory, verdict, decode speed."""
    speed = "unknown" if row.decode is None else f"{row.decode.low:g}-{row.decode.high:g}"
    return (
        f"{'*' if row.chosen else ' '} {row.recipe}",
        row.format.upper(),
        format_bytes(row.size_bytes),
        f"{format_bytes(row.needed_bytes)} of {format_bytes(row.memory_available_bytes)}",
        {"fits": "yes", "tight": "tight", "does not fit": "no"}.get(row.verdict, row.verdict),
        speed,
    )


def fit_summary(answer: FitAnswer, *, is_here: bool = True) -> str:
    """Why the marked one is the choice, or why there is none; and how an unknown speed becomes known."""
    if answer.problem is not None:
        text = f"{answer.problem}: {answer.hint}" if answer.hint else answer.problem
    else:
        text = " ".join(filter(None, (answer.why, answer.format_why)))
    if any(row.decode is None for row in answer.rows):
        text += f"\n{_MEASURE if is_here else _MEASURE_THERE}"
    return text.strip()


def fit_order(
    *,
    model: str = "",
    files: dict[str, str] | None = None,
    folder: str = "",
    device: str | None,
    context: int | None,
    format: str | None = None,
) -> dict[str, Any]:
    """The body of the request. ``folder``: the name of that of ``files``; ``device`` None is this machine, ``format``
    None compares both."""
    order: dict[str, Any] = {"files": files, "folder": folder} if files else {"model": model}
    if device is not None:
        order["device"] = device
    if context is not None:
        order["context"] = context
    if format is not None:
        order["format"] = format
    return order
