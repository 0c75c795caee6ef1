"""The rows of `edgellm fit`, of one format or of both, with what `pack` would take and what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgellm.errors import DoesNotFitError

if TYPE_CHECKING:
    from edgellm.cli.fit_candidates import FitCandidates
    from edgellm.devices.benched import BenchedModel
    from edgellm.devices.fit import Choice, FitRequest, FitRow, RunSettings
    from edgellm.devices.load import LoadedProfile

__all__ = ["FitTables", "compare"]


@dataclass(frozen=True)
class FitTables:
    """What is shown."""

    rows: tuple[FitRow, ...]
    measured: tuple[BenchedModel | None, ...]  # of each row, where `edgellm bench` has measured such a model here
    choice: Choice | None
    format: str  # of the choice
    format_why: str  # empty where there is nothing to say
    misfit: DoesNotFitError | None  # where nothing fits


def compare(
    candidates: FitCandidates, device: LoadedProfile, request: FitRequest, benched: Sequence[BenchedModel]
) -> FitTables:
    """Choose in each format and between them, as `pack` does. Raises UsageError for what cannot be asked for."""
    import msgspec

    from edgellm.devices.benched import latest_of
    from edgellm.devices.fit import choose, fit_table

    choices: dict[str, Choice] = {}
    tables: dict[str, tuple[FitRow, ...]] = {}
    misfits: dict[str, DoesNotFitError] = {}
    for format_, shapes in candidates.shapes.items():
        try:
            choices[format_] = choose(shapes, device.profile, request)
            tables[format_] = choices[format_].table
        except DoesNotFitError as error:
            misfits[format_] = error
            tables[format_] = fit_table(shapes, device.profile, request)
    taken, why = _format(candidates, choices, device, benched)
    first = next((row.settings for table in tables.values() for row in table), None)
    rows = [
        msgspec.structs.replace(row, chosen=row.chosen and format_ == taken, note=_note(row, format_, taken, first))
        for format_, table in tables.items()
        for row in table
    ]
    return FitTables(
        rows=tuple(rows),
        measured=tuple(latest_of(benched, candidates.shapes[row.format][row.recipe], row.recipe) for row in rows),
        choice=choices.get(taken),
        format=taken,
        format_why=why,
        misfit=misfits.get(taken),
    )


def _format(
    candidates: FitCandidates, choices: dict[str, Choice], device: LoadedProfile, benched: Sequence[BenchedModel]
) -> tuple[str, str]:
    """The format that `pack` takes, and why."""
    from edgellm.devices.format_choice import choose_format

    if candidates.settled or "gguf" not in choices:
        return next(iter(candidates.shapes)), ""
    if "onnx" in candidates.missing:
        return "gguf", f"GGUF: no ONNX, {candidates.missing['onnx']}."
    gguf = choices["gguf"]
    shape = candidates.shapes["gguf"][gguf.recipe]
    verdict = choose_format(shape, gguf, choices.get("onnx"), device.profile, benched)
    return verdict.format, verdict.why


def _note(row: FitRow, format_: str, taken: str, first: RunSettings | None) -> str:
    """Also what is taken of the other format where that is asked for, and what it is planned with if not as the
    ``first`` row."""
    parts = [f"what --format {format_} takes"] if row.chosen and format_ != taken else []
    if first is not None and row.settings.context != first.context:
        parts.append(f"context {row.settings.context}")
    if first is not None and row.settings.sequences != first.sequences:
        parts.append(f"{row.settings.sequences} at once")
    return "; ".join([*parts, *([row.note] if row.note else [])])
