"""What `edgellm fit` does: a table of every sensible recipe on one device, and what `pack` would take."""

from __future__ import annotations

import itertools
import sys
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgellm.cli.console import print_json, print_message, print_table
from edgellm.cli.context import load_device, size_option_value, user_settings
from edgellm.cli.fit_candidates import fit_candidates
from edgellm.cli.fit_tables import FitTables, compare
from edgellm.cli.progress import MessagesOnly
from edgellm.errors import UsageError
from edgellm.units import format_bytes

if TYPE_CHECKING:
    from edgellm.devices.benched import BenchedModel
    from edgellm.devices.fit import FitRow, SpeedRange

__all__ = ["FitOptions", "fit"]


@dataclass(frozen=True)
class FitOptions:
    """The command line of `edgellm fit`."""

    model: str
    device: str | None
    memory: str | None
    context: int | None
    sequences: int | None
    min_speed: float | None
    as_json: bool
    format_: str | None = None


def fit(options: FitOptions) -> None:
    """Print the table. Raises DoesNotFitError, after the table, when nothing fits."""
    from edgellm.devices.benched import read_benched
    from edgellm.devices.fit import FitRequest
    from edgellm_runtimes.accelerators import installed_accelerators

    if options.min_speed is not None and not options.min_speed > 0:
        raise UsageError(f"--min-speed is {options.min_speed}; it must be above 0")
    settings = user_settings()
    device = load_device(options.device, size_option_value(options.memory), settings, progress=MessagesOnly())
    if device.assumption:
        print_message(f"{options.device or 'this machine'}: {device.assumption}")
    candidates, plan = fit_candidates(options, device, settings)
    request = FitRequest(
        context=options.context or (plan.context if plan else None),
        sequences=options.sequences or (plan.sequences if plan else None),
        recipe=plan.recipe if plan else None,
        min_speed=options.min_speed or settings.values.min_speed,
        accelerators=installed_accelerators(),
        adapter_bytes=plan.predicted_memory.adapter_bytes if plan else 0,
    )
    benched = read_benched(settings.paths.state, progress=MessagesOnly()) if device.is_here else ()
    tables = compare(candidates, device, request, benched)
    if not tables.rows:
        raise tables.misfit or UsageError(f"{options.model} has nothing to choose from")
    if options.as_json:
        print_json(_record(device.profile.id, device.profile.memory.size_bytes, tables))
    else:
        _print(options.model, device.profile.name, device.profile.memory.size_bytes, tables)
    if tables.misfit is not None:
        raise tables.misfit


def _print(model: str, device: str, memory_bytes: int, tables: FitTables) -> None:
    rows, choice = tables.rows, tables.choice
    first = rows[0].settings
    users = f", {first.sequences} conversations at once" if first.sequences > 1 else ""
    sys.stdout.write(f"{model} on {device}, {format_bytes(memory_bytes)}; context {first.context} tokens{users}\n\n")
    both, many, measured = len({row.format for row in rows}) > 1, first.sequences > 1, any(tables.measured)
    shown = [_is_shown(row, found, tables) for row, found in zip(rows, tables.measured, strict=True)]
    common = [note for note in rows[0].estimate.notes if all(note in row.estimate.notes for row in rows)]
    cells = []
    for row, found in itertools.compress(zip(rows, tables.measured, strict=True), shown):
        line = {
            "": "*" if row.chosen else "",
            "FORMAT": row.format.upper() if both else None,
            "RECIPE": row.recipe,
            "SIZE": format_bytes(row.size_bytes),
            "MEMORY": format_bytes(row.memory_bytes),
            "FITS": {"fits": "yes", "tight": "tight", "does not fit": "no"}[row.verdict],
            "DECODE tok/s": None if row.estimate.is_encoder else _speed(row.decode),
            "EACH USER": _speed(row.decode_per_user) if many else None,
            "PREFILL tok/s": _speed(row.prefill),
            "MEASURED": (f"{found.decode:.1f}, {found.prefill:.0f}" if found else "") if measured else None,
            "NOTE": _own_note(row, common),
        }
        cells.append({name: text for name, text in line.items() if text is not None})
    headers = list(cells[0])
    right = tuple(headers.index(name) for name in ("SIZE", "MEMORY"))
    print_table(headers, [list(line.values()) for line in cells], right=right)
    paragraphs = [*common]
    if hidden := sorted({row.format for row, is_shown in zip(rows, shown, strict=True) if not is_shown}):
        paragraphs += [f"{shown.count(False)} more of {name.upper()}: --format {name}" for name in hidden]
    if measured:
        dates = sorted({found.date for found in tables.measured if found})
        paragraphs.append(f"MEASURED: tokens/s of an answer, of a prompt, by `edgellm bench` here ({', '.join(dates)})")
    if choice is not None:
        paragraphs.append(f"* {choice.why}")
    paragraphs += [tables.format_why] if tables.format_why else []
    for label, speed in (
        ("decode", choice and choice.estimate.decode),
        ("prefill", choice and choice.estimate.prefill),
    ):
        paragraphs += [f"{label} speed from {speed.basis}"] if speed else []
    for paragraph in paragraphs:
        sys.stdout.write("\n" + textwrap.fill(paragraph, 100) + "\n")


def _is_shown(row: FitRow, found: BenchedModel | None, tables: FitTables) -> bool:
    """Of the format that would not be taken, only what it is compared by."""
    return row.format == tables.format or found is not None or "what --format" in row.note


def _speed(speed: SpeedRange | None) -> str:
    return "unknown" if speed is None else f"{speed.low:g}-{speed.high:g}"


def _own_note(row: FitRow, common: list[str]) -> str:
    """What holds for this row and not for all."""
    note = row.note
    for said in common:
        note = note.replace(said, "").replace("; ; ", "; ").strip("; ")
    return note if len(note) <= 90 else note[:87] + "..."


def _record(device: str, memory_bytes: int, tables: FitTables) -> dict[str, Any]:
    choice, misfit = tables.choice, tables.misfit
    return {
        "device": device,
        "memory_bytes": memory_bytes,
        "choice": choice.recipe if choice else None,
        "format": tables.format if choice else None,
        "format_why": tables.format_why or None,
        "context": choice.settings.context if choice else None,
        "sequences": choice.settings.sequences if choice else None,
        "why": choice.why if choice else None,
        "problem": misfit.message if misfit else None,
        "hint": misfit.hint if misfit else None,
        "rows": [
            {
                "format": row.format,
                "recipe": row.recipe,
                "size_bytes": row.size_bytes,
                "verdict": row.verdict,
                "memory": row.estimate.memory,
                "memory_available_bytes": row.estimate.memory_available_bytes,
                "decode": row.decode,
                "decode_per_user": row.decode_per_user,
                "prefill": row.prefill,
                "measured": found,
                "settings": row.settings,
                "note": row.note,
                "chosen": row.chosen,
            }
            for row, found in zip(tables.rows, tables.measured, strict=True)
        ],
    }
