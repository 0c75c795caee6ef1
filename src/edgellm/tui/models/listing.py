"""The models of the store as rows of a table: filtered, sorted, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from edgellm.units import format_bytes

__all__ = [
    "COLUMNS",
    "Column",
    "LoadProgress",
    "LoadStatus",
    "ModelList",
    "ModelRow",
    "Room",
    "Speed",
    "columns_for",
    "matching",
    "sorted_rows",
    "with_progress",
]

_GIB = 1 << 30
_MIB = 1 << 20


class Speed(msgspec.Struct, frozen=True):
    """Predicted tokens per second."""

    low: float
    high: float
    basis: str = ""


class Room(msgspec.Struct, frozen=True):
    """The memory of models: all of it, and what is left for another one."""

    models_bytes: int
    left_bytes: int
    server_bytes: int = 0


class ModelRow(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of GET /api/edgellm/models."""

    name: str
    digest: str
    store: str = "user"
    device: str | None = None
    recipe: str | None = None
    format: str | None = None
    parameters: str | None = None
    context: int | None = None
    size_bytes: int = 0
    needed_bytes: int | None = None
    fit: str | None = None  # fits, tight, does not fit
    predicted_decode: Speed | None = None
    last_decode_tokens_per_s: float | None = None
    pinned: bool = False
    state: str | None = None  # loading, ready, draining, unloading, restarting
    problem: str | None = None
    licenses: list[str] = []
    loaded_share: float | None = None  # 0 to 1, of what has to be read; only while it loads

    @property
    def is_loaded(self) -> bool:
        """True while it takes memory, or is about to."""
        return self.state is not None


class ModelList(msgspec.Struct, frozen=True):
    """GET /api/edgellm/models."""

    models: list[ModelRow]
    memory: Room


class LoadProgress(msgspec.Struct, frozen=True):
    """How far a model is that loads."""

    phase: str = ""
    done_bytes: int = 0
    total_bytes: int | None = None


class LoadStatus(msgspec.Struct, frozen=True):
    """One entry of GET /api/edgellm/ps, as far as it is about loading."""

    digest: str
    state: str
    progress: LoadProgress | None = None


def with_progress(listing: ModelList, statuses: Iterable[LoadStatus]) -> ModelList:
    """``listing`` with the states of ``statuses``, and how far those are that load."""
    known = {status.digest: status for status in statuses}
    return ModelList([_progressed(row, known.get(row.digest)) for row in listing.models], listing.memory)


def _progressed(row: ModelRow, status: LoadStatus | None) -> ModelRow:
    progress = None if status is None else status.progress
    share = progress.done_bytes / progress.total_bytes if progress is not None and progress.total_bytes else None
    return msgspec.structs.replace(row, state=None if status is None else status.state, loaded_share=share)


class Column(msgspec.Struct, frozen=True):
    """``text`` is what a cell shows, ``order`` what it is sorted by; ``style`` a name for its colour, or nothing."""

    key: str
    title: str
    text: Callable[[ModelRow, Room], str]
    order: Callable[[ModelRow], Any]
    style: Callable[[ModelRow, Room], str] = lambda row, room: ""
    right: bool = False
    is_extra: bool = False  # worth no letter of a name


def _loaded(row: ModelRow, _room: Room) -> str:
    mark = "*" if row.pinned else " "
    shown = "damaged" if row.problem else {None: "-", "ready": "loaded"}.get(row.state, row.state)
    share = "" if row.loaded_share is None else f" {row.loaded_share:.0%}"
    return f"{mark}{shown}{share}"


def _fit(row: ModelRow, room: Room) -> str:
    """The badge: what it is predicted to need against what is free for it."""
    if row.fit is None or row.needed_bytes is None:
        return "-"
    if row.is_loaded:
        return f"takes {format_bytes(row.needed_bytes)}"
    word = "not now" if _is_kept_out(row, room) else row.fit
    word = "does not" if word == "does not fit" else word
    return f"{word} {_of(row.needed_bytes, room.models_bytes if row.fit == 'does not fit' else room.left_bytes)}"


def _is_kept_out(row: ModelRow, room: Room) -> bool:
    """True for what would fit, were it not for others that use the memory."""
    needed_bytes = row.needed_bytes or 0
    return not row.is_loaded and row.fit in ("fits", "tight") and needed_bytes > room.left_bytes


def _of(needed_bytes: int, there_bytes: int) -> str:
    """Both in the unit of the larger one: ``0.1/22.6 GiB``."""
    there_bytes = max(0, there_bytes)
    unit, name = (_GIB, "GiB") if max(needed_bytes, there_bytes) >= _GIB else (_MIB, "MiB")
    return f"{needed_bytes / unit:.1f}/{there_bytes / unit:.1f} {name}"


def _fit_style(row: ModelRow, room: Room) -> str:
    if _is_kept_out(row, room):
        return "warning"
    return {"fits": "success", "tight": "warning", "does not fit": "error"}.get(row.fit or "", "")


def _state_style(row: ModelRow, _room: Room) -> str:
    if row.problem:
        return "error"
    return {"ready": "success", None: ""}.get(row.state, "warning")


def _speed(row: ModelRow, _room: Room) -> str:
    """Measured with the last answer; predicted where there was none."""
    if row.last_decode_tokens_per_s is not None:
        return f"{row.last_decode_tokens_per_s:.1f}"
    speed = row.predicted_decode
    return "-" if speed is None else f"~{speed.low:.0f}-{speed.high:.0f}"


def _speed_order(row: ModelRow) -> float:
    if row.last_decode_tokens_per_s is not None:
        return row.last_decode_tokens_per_s
    return 0.0 if row.predicted_decode is None else (row.predicted_decode.low + row.predicted_decode.high) / 2


_FITS = ("fits", "tight", "does not fit")
_STATES = ("ready", "loading", "restarting", "draining", "unloading")

COLUMNS = (  # the most important first
    Column("name", "Name", lambda row, _: row.name, lambda row: row.name.lower()),
    Column(
        "state",
        "Loaded",
        _loaded,
        lambda row: (_STATES.index(row.state) if row.state in _STATES else len(_STATES), not row.pinned),
        _state_style,
    ),
    Column(
        "fit",
        "Fit",
        _fit,
        lambda row: (_FITS.index(row.fit) if row.fit in _FITS else len(_FITS), row.needed_bytes or 0),
        _fit_style,
    ),
    Column(
        "size",
        "Size",
        lambda row, _: format_bytes(row.size_bytes),
        lambda row: row.size_bytes,
        right=True,
    ),
    Column("speed", "Tok/s", _speed, _speed_order, right=True),
    Column("quant", "Quant", lambda row, _: row.recipe or "-", lambda row: row.recipe or "~", is_extra=True),
    Column("format", "Format", lambda row, _: row.format or "-", lambda row: row.format or "~", is_extra=True),
    Column(
        "context",
        "Context",
        lambda row, _: str(row.context or "-"),
        lambda row: row.context or 0,
        right=True,
        is_extra=True,
    ),
    Column("device", "Device", lambda row, _: row.device or "-", lambda row: row.device or "~", is_extra=True),
)


def columns_for(width: int, widths: Mapping[str, int], least_name: int) -> list[Column]:
    """Those that a table so wide has room for, the most important first; the others are in the details.

    ``widths``: what each takes by its key, in cells. The name can be shortened to ``least_name``, but not for extras.
    """
    shown: list[Column] = []
    others = 0
    for column in COLUMNS:
        name = widths["name"] if column.is_extra else min(widths["name"], least_name)
        others += widths[column.key] if column.key != "name" else 0
        if shown and name + others > width:
            break
        shown.append(column)
    return shown


def matching(rows: Iterable[ModelRow], words: str) -> list[ModelRow]:
    """The rows in which each of ``words`` occurs somewhere."""
    wanted = words.lower().split()
    return [row for row in rows if all(word in _searched(row) for word in wanted)]


def _searched(row: ModelRow) -> str:
    pinned = "pinned" if row.pinned else ""
    loaded = "loaded" if row.is_loaded else ""
    parts = (row.name, row.device, row.recipe, row.format, row.fit, row.parameters, pinned, loaded, *row.licenses)
    return " ".join(filter(None, parts)).lower()


def sorted_rows(rows: Iterable[ModelRow], key: str, *, is_reversed: bool) -> list[ModelRow]:
    """By one column, and by name where that is the same."""
    order = next(column.order for column in COLUMNS if column.key == key)
    by_name = sorted(rows, key=lambda row: row.name.lower())
    return sorted(by_name, key=order, reverse=is_reversed)
