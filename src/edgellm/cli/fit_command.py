"""What `edgellm fit` does: a table of every sensible recipe on one device, and what `pack` would take."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgellm.cli.console import print_json, print_message, print_table
from edgellm.cli.context import load_device, size_option_value, user_settings
from edgellm.cli.progress import MessagesOnly
from edgellm.cli.target import A_MODEL, find_bundle
from edgellm.errors import DoesNotFitError, UsageError
from edgellm.units import format_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from edgellm.bundle.opened import OpenBundle
    from edgellm.bundle.plan import Plan
    from edgellm.devices.fit import Choice, FitRow, SpeedRange
    from edgellm.devices.load import LoadedProfile
    from edgellm.devices.model import ModelShape
    from edgellm.settings import SettingsWithOrigin
    from edgellm.sources.hub.reference import HubReference
    from edgellm.sources.local import LocalSource

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
    from edgellm.devices.fit import FitRequest, choose, fit_table
    from edgellm_runtimes.accelerators import installed_accelerators

    if options.min_speed is not None and not options.min_speed > 0:
        raise UsageError(f"--min-speed is {options.min_speed}; it must be above 0")
    settings = user_settings()
    device = load_device(options.device, size_option_value(options.memory), settings, progress=MessagesOnly())
    if device.assumption:
        print_message(f"{options.device or 'this machine'}: {device.assumption}")
    candidates, plan = _candidates(options, device, settings)
    request = FitRequest(
        context=options.context or (plan.context if plan else None),
        sequences=options.sequences or (plan.sequences if plan else None),
        recipe=plan.recipe if plan else None,
        min_speed=options.min_speed or settings.values.min_speed,
        accelerators=installed_accelerators(),
        adapter_bytes=plan.predicted_memory.adapter_bytes if plan else 0,
    )
    choice: Choice | None = None
    misfit: DoesNotFitError | None = None
    try:
        choice = choose(candidates, device.profile, request)
    except DoesNotFitError as error:
        misfit = error
    rows = choice.table if choice else fit_table(candidates, device.profile, request)
    if not rows:
        raise misfit or UsageError(f"{options.model} has nothing to choose from")
    if options.as_json:
        print_json(_record(device.profile.id, device.profile.memory.size_bytes, rows, choice, misfit))
    else:
        _print(options.model, device.profile.name, device.profile.memory.size_bytes, rows, choice)
    if misfit is not None:
        raise misfit


def _candidates(
    options: FitOptions, device: LoadedProfile, settings: SettingsWithOrigin
) -> tuple[Mapping[str, ModelShape], Plan | None]:
    """Recipe -> shape: all that a source can be packed to, or the one that a bundle is, with its plan."""
    from edgellm.cli.target import hub_reference
    from edgellm.sources.local import open_source

    reference = hub_reference(options.model, settings)
    if reference is not None:
        return _hub_candidates(reference, options, device, settings.paths.cache), None
    to_format = options.format_ or "gguf"
    bundle = find_bundle(options.model, settings, or_else=A_MODEL)
    if bundle is None:
        return _shapes_of(open_source(options.model), to_format), None
    import msgspec

    if options.format_ is not None:
        raise UsageError(f"{options.model} is a bundle, whose format is settled", hint="leave --format out")
    shape = _bundle_shape(bundle)
    return {bundle.plan.recipe: msgspec.structs.replace(shape, recipe=bundle.plan.recipe)}, bundle.plan


def _bundle_shape(bundle: OpenBundle) -> ModelShape:
    if bundle.files:
        from edgellm_runtimes.load import LoadRequest
        from edgellm_runtimes.onnx.loader import OnnxLoader

        return OnnxLoader(LoadRequest(model_path=bundle.weights_path, files=bundle.files)).shape()
    from edgellm.devices.gguf_shape import shape_from_gguf
    from edgellm.formats.gguf import read_header

    return shape_from_gguf(read_header(bundle.weights_path, skip_arrays=True))


def _shapes_of(source: LocalSource, to_format: str) -> Mapping[str, ModelShape]:
    from edgellm_converters.pack.open_input import open_input

    with open_input(source, to_format=to_format) as opened:
        return {recipe: opened.shape(recipe) for recipe in opened.recipes()}


def _hub_candidates(
    reference: HubReference, options: FitOptions, device: LoadedProfile, cache: Path
) -> Mapping[str, ModelShape]:
    """The same for a model of a hub, of which headers alone are fetched."""
    from edgellm.cli.hub_order import gguf_shapes, mirrored_checkpoint, placeholder
    from edgellm.cli.progress import cancel_on_interrupt
    from edgellm.sources.hub.client import HubClient
    from edgellm.sources.hub.settings import hub_settings
    from edgellm.sources.hub_model import find_model
    from edgellm.sources.mirror import HeaderMirror
    from edgellm_converters.pack import PackRequest
    from edgellm_runtimes.accelerators import installed_accelerators

    with (
        cancel_on_interrupt() as cancel,
        HubClient(hub_settings(), progress=MessagesOnly(), cancel=cancel) as client,
        HeaderMirror(client, cache) as mirror,
    ):
        model = find_model(client, reference)
        if model.kind == "checkpoint":
            return _shapes_of(mirrored_checkpoint(client, model, mirror), options.format_ or "gguf")
        if options.format_ == "onnx":
            raise UsageError(
                f"{reference} has GGUF files only: an ONNX model is made of a checkpoint",
                hint="name the repository of the original checkpoint, or leave --format out",
            )
        request = PackRequest(
            source=placeholder(),
            devices=(device,),
            context=options.context,
            sequences=options.sequences,
            accelerators=installed_accelerators(),
            force=True,
        )
        return gguf_shapes(model, request, mirror)


def _print(model: str, device: str, memory_bytes: int, rows: tuple[FitRow, ...], choice: Choice | None) -> None:
    first = rows[0].settings
    users = f", {first.sequences} conversations at once" if first.sequences > 1 else ""
    sys.stdout.write(f"{model} on {device}, {format_bytes(memory_bytes)}; context {first.context} tokens{users}\n\n")
    headers = ["", "RECIPE", "SIZE", "MEMORY", "FITS", "DECODE tok/s", "PREFILL tok/s", "NOTE"]
    if first.sequences > 1:
        headers.insert(6, "EACH USER")
    common = [note for note in rows[0].estimate.notes if all(note in row.estimate.notes for row in rows)]
    cells = []
    for row in rows:
        line = [
            "*" if row.chosen else "",
            row.recipe,
            format_bytes(row.size_bytes),
            format_bytes(row.memory_bytes),
            {"fits": "yes", "tight": "tight", "does not fit": "no"}[row.verdict],
            "-" if row.estimate.is_encoder else _speed(row.decode),
            _speed(row.prefill),
            _own_note(row, common),
        ]
        if first.sequences > 1:
            line.insert(6, _speed(row.decode_per_user))
        cells.append(line)
    print_table(headers, cells, right=(2, 3))
    for note in common:
        sys.stdout.write("\n" + textwrap.fill(note, 100) + "\n")
    if choice is not None:
        sys.stdout.write("\n" + textwrap.fill(f"* {choice.why}", 100) + "\n")
        for label, speed in (("decode", choice.estimate.decode), ("prefill", choice.estimate.prefill)):
            if speed is not None:
                sys.stdout.write("\n" + textwrap.fill(f"{label} speed from {speed.basis}", 100) + "\n")


def _speed(speed: SpeedRange | None) -> str:
    return "unknown" if speed is None else f"{speed.low:g}-{speed.high:g}"


def _own_note(row: FitRow, common: list[str]) -> str:
    """What holds for this row and not for all."""
    note = row.note
    for said in common:
        note = note.replace(said, "").replace("; ; ", "; ").strip("; ")
    return note if len(note) <= 90 else note[:87] + "..."


def _record(
    device: str,
    memory_bytes: int,
    rows: tuple[FitRow, ...],
    choice: Choice | None,
    misfit: DoesNotFitError | None,
) -> dict[str, Any]:
    return {
        "device": device,
        "memory_bytes": memory_bytes,
        "choice": choice.recipe if choice else None,
        "context": choice.settings.context if choice else None,
        "sequences": choice.settings.sequences if choice else None,
        "why": choice.why if choice else None,
        "problem": misfit.message if misfit else None,
        "hint": misfit.hint if misfit else None,
        "rows": [
            {
                "recipe": row.recipe,
                "size_bytes": row.size_bytes,
                "verdict": row.verdict,
                "memory": row.estimate.memory,
                "memory_available_bytes": row.estimate.memory_available_bytes,
                "decode": row.decode,
                "decode_per_user": row.decode_per_user,
                "prefill": row.prefill,
                "settings": row.settings,
                "note": row.note,
                "chosen": row.chosen,
            }
            for row in rows
        ],
    }
